"""Figures of a device probe and the report that carries them."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

PROBE_VERSION = 1
EXIT_YIELDED = 75  # the probe released a device that was requested elsewhere; it may be started again


@dataclass(frozen=True)
class ProbeFigure:
    """One figure that a probe measures."""

    name: str
    unit: str  # flops_per_s, bytes_per_s, s
    label: str
    meaning: str


DTYPES = ("fp32", "tf32", "bf16", "fp16")

PROBE_FIGURES: tuple[ProbeFigure, ...] = (
    *(
        ProbeFigure(f"gemm_{dtype}_flops_per_s", "flops_per_s", f"Matrix product, {dtype}",
                    "The largest square product that was tried, on random values")
        for dtype in DTYPES
    ),
    ProbeFigure("copy_bytes_per_s", "bytes_per_s", "Memory copy",
                "Bytes read and written by a copy larger than any cache"),
    ProbeFigure("optimiser_bytes_per_s", "bytes_per_s", "Optimiser pass",
                "Fused AdamW over 32-bit parameters, 28 bytes read and written for each"),
    ProbeFigure("host_copy_bytes_per_s", "bytes_per_s", "Copy from the host", "From pinned host memory to the device"),
    ProbeFigure("launch_s", "s", "Kernel launch", "From one tiny operation to the next"),
)  # fmt: skip
BY_NAME = {figure.name: figure for figure in PROBE_FIGURES}


class MeasuredFigure(msgspec.Struct, frozen=True):
    """The median of `n` measurements with the lower and upper quartile."""

    value: float
    low: float
    high: float
    n: int


class ProbeReport(msgspec.Struct, frozen=True):
    """The result of one probe. `curves` holds (size, FLOP/s) of square products by number format, small to large."""

    version: int
    torch: str
    kind: str
    threads: int
    took_s: float
    figures: dict[str, MeasuredFigure]
    missing: dict[str, tuple[str, str]]  # name -> status, reason
    curves: dict[str, list[tuple[int, float]]]


def encode(report: ProbeReport) -> bytes:
    return msgspec.json.encode(report)


def decode(text: bytes) -> ProbeReport:
    """Parse a report. Raises ValueError unless it is one of this version."""
    try:
        report = msgspec.json.decode(text, type=ProbeReport)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None
    if report.version != PROBE_VERSION:
        raise ValueError(f"probe version {report.version}, expected {PROBE_VERSION}")
    return report
