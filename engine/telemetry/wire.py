"""One line of a spool file: one sample, one event of a rank, or the standing of a device's readings.

JSON has no NaN, and a diverged loss must arrive as what it is: non-finite values travel as text.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import msgspec

WIRE_VERSION = 1
NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

TIMELINE_EVENTS = 4096  # of one rank and step

Kind = Literal[
    "step", "validation", "device", "phase", "checkpoint", "note", "result", "timeline", "trace", "output"
]  # fmt: skip


class TimelineEvent(msgspec.Struct, frozen=True, array_like=True):
    """Something a rank did in a step, in microseconds since the step's begin. `kind`: load, forward, backward, reduce,
    optimiser, send_activation, receive_activation, send_gradient, receive_gradient, collective. `number`: of its
    kind in the step, from 0, which for the passes of a pipeline is the micro-batch."""

    kind: str
    number: int
    begin_us: int
    length_us: int
    waited_us: int = 0  # the part in which another stage was not ready: the bubble


class Timeline(msgspec.Struct, frozen=True):
    """One step of one rank; the line's `at` is when it began."""

    stage: int
    data_rank: int
    step_s: float
    events: tuple[TimelineEvent, ...]
    is_cut: bool = False  # collectives were left out
    tensor_rank: int = 0


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """`source` says who speaks: 'run', 'rank<r>' or 'device:<id>'.

    step, validation, device, result: `metrics` by name, in the units of the metrics table.
    phase: `text` is one of START_PHASES, `seconds` how long it took.
    checkpoint: `text` is the folder's name, `step` its step, `seconds` how long saving took beside training; of
    `metrics`, checkpoint_block_s is a series, and validation_loss says how good the weights are.
    output: `texts` has the prompt, reference and output of held-out example `number` at a step.
    note: `text` is a sentence for the run's events, `level` info, warning or error.
    timeline: `timeline` is what the rank did in `step`, and when.
    trace: `text` is a file in the attempt's trace/, `step` the first of the steps in it, `number` the request's.
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
    timeline: Timeline | None = None
    number: int | None = None
    texts: dict[str, str] = {}


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
    """A metric's value as a float again. Raises ValueError for a text other than those of NON_FINITE."""
    if not isinstance(value, str):
        return value
    if value not in NON_FINITE:
        raise ValueError(f"the value {value[:50]!r} is neither a number nor one of {', '.join(NON_FINITE)}")
    return NON_FINITE[value]


def _named(value: Any) -> Any:
    if isinstance(value, str) or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
