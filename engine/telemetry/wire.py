"""One line of a spool file: one sample, one event of a rank, or the standing of a device's readings.

JSON has no NaN, and a diverged loss must arrive as what it is: non-finite values travel as text.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import msgspec

WIRE_VERSION = 1

Kind = Literal["step", "validation", "device", "phase", "checkpoint", "note", "result"]


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """`source` says who speaks: 'run', 'rank<r>' or 'device:<id>'.

    step, validation, device, result: `metrics` by name, in the units of the metrics table.
    phase: `text` is one of START_PHASES, `seconds` how long it took.
    checkpoint: `text` is the folder's name, `step` its step, `seconds` how long saving took beside training; of
    `metrics`, checkpoint_block_s is a series, and validation_loss says how good the weights are.
    note: `text` is a sentence for the run's events, `level` info, warning or error.
    device lines carry `missing` {metric: [status, reason]} on the first tick and whenever it changes.
    """

    k: Kind
    at: float  # unix seconds
    source: str
    v: int = WIRE_VERSION
    step: int | None = None
    metrics: dict[str, float | str] = {}
    missing: dict[str, tuple[str, str]] = {}
    text: str = ""
    seconds: float | None = None
    level: Literal["info", "warning", "error"] = "info"


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Line)


def encode(line: Line) -> bytes:
    """One line with its newline. NaN and infinities become the texts 'NaN', 'Infinity', '-Infinity'."""
    if any(isinstance(x, float) and not math.isfinite(x) for x in line.metrics.values()):
        line = msgspec.structs.replace(line, metrics={k: _named(x) for k, x in line.metrics.items()})
    return _encoder.encode(line) + b"\n"


def decode(text: bytes) -> Line:
    """Raises ValueError for anything that is not one line of version 1."""
    try:
        line = _decoder.decode(text)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None
    if line.v != WIRE_VERSION:
        raise ValueError(f"wire version {line.v}, this reads {WIRE_VERSION}")
    return line


def number(value: float | str) -> float:
    """A metric's value as a float again. Raises ValueError for any other text."""
    return float(value)


def _named(value: Any) -> Any:
    if isinstance(value, str) or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
