"""What a probe of one device found: the figures it looks for, and the line in which it reports them."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

PROBE_VERSION = 1
EXIT_YIELDED = 75  # somebody wants the device: the probe has let go of it and may be started again


@dataclass(frozen=True)
class Sought:
    name: str
    unit: str  # flops_per_s, bytes_per_s, s
    label: str
    meaning: str


DTYPES = ("fp32", "tf32", "bf16", "fp16")

SOUGHT: tuple[Sought, ...] = (
    *(
        Sought(f"gemm_{dtype}_flops_per_s", "flops_per_s", f"Matrix product, {dtype}",
               "The largest square product that was tried, on random values")
        for dtype in DTYPES
    ),
    Sought("copy_bytes_per_s", "bytes_per_s", "Memory copy", "Bytes read and written by a copy larger than any cache"),
    Sought("optimiser_bytes_per_s", "bytes_per_s", "Optimiser pass",
           "Fused AdamW over 32-bit parameters, 28 bytes read and written for each"),
    Sought("host_copy_bytes_per_s", "bytes_per_s", "Copy from the host", "From pinned host memory to the device"),
    Sought("launch_s", "s", "Kernel launch", "From one tiny operation to the next"),
)  # fmt: skip
BY_NAME = {sought.name: sought for sought in SOUGHT}


class Figure(msgspec.Struct, frozen=True):
    """The median of `n` tries; the quartiles tell how much they differed."""

    value: float
    low: float
    high: float
    n: int


class Probed(msgspec.Struct, frozen=True):
    """`curves` holds, for each number format, (size, FLOP/s) of square products from small to large."""

    version: int
    torch: str
    kind: str
    threads: int
    took_s: float
    figures: dict[str, Figure]
    missing: dict[str, tuple[str, str]]  # name -> status, reason
    curves: dict[str, list[tuple[int, float]]]


def encode(probed: Probed) -> bytes:
    return msgspec.json.encode(probed)


def decode(text: bytes) -> Probed:
    """Raises ValueError for anything that is no report of this version."""
    try:
        probed = msgspec.json.decode(text, type=Probed)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None
    if probed.version != PROBE_VERSION:
        raise ValueError(f"probe version {probed.version}, this reads {PROBE_VERSION}")
    return probed
