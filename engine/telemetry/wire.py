"""Line format of spool files.

JSON has no NaN, so non-finite values, such as a diverged loss, are written as text.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import msgspec

WIRE_VERSION = 1
NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

TIMELINE_EVENTS = 4096  # of one rank and step

Kind = Literal[
    "step", "validation", "device", "phase", "checkpoint", "note", "result", "timeline", "trace", "output",
    "clock",
]  # fmt: skip


class TimelineEvent(msgspec.Struct, frozen=True, array_like=True):
    """One activity of a rank in a step, in microseconds since the start of the step. `kind`: load, forward, backward,
    reduce, optimiser, send_activation, receive_activation, send_gradient, receive_gradient, collective. `number`
    counts each kind from 0; for the passes of a pipeline it is the micro-batch."""

    kind: str
    number: int
    begin_us: int
    length_us: int
    waited_us: int = 0  # waiting for another stage: the bubble


class Timeline(msgspec.Struct, frozen=True):
    """One step of one rank; `at` of its line is the start of the step."""

    stage: int
    data_rank: int
    step_s: float
    events: tuple[TimelineEvent, ...]
    is_cut: bool = False  # without collectives, to keep it small
    tensor_rank: int = 0


class SpoolLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """`source` is 'run', 'rank<r>' or 'device:<id>'.

    step, validation, device, result: `metrics` by name, in the units of the metrics table.
    phase: `text` is one of START_PHASES, `seconds` its duration.
    checkpoint: `text` is the name of the folder, `step` its step, `seconds` the duration of saving beside training. Of
    `metrics`, checkpoint_block_s is a series, and validation_loss is that of the saved weights.
    output: `texts` holds prompt, reference and output of held-out example `number` at a step.
    clock: `metrics` holds seconds by part of engine.telemetry.clock since the start of the process, until `at`, after
    `step` steps; the attempt began after `number` steps.
    note: `text` is a message for the events of the run, `level` info, warning or error.
    timeline: `timeline` holds the activities of the rank in `step`.
    trace: `text` is a file in trace/ of the attempt, `step` its first step, `number` that of the request.
    device lines carry `missing` {metric: [status, reason]} at the first tick and after each change.
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
_decoder = msgspec.json.Decoder(SpoolLine)


def encode(line: SpoolLine) -> bytes:
    """One line with its newline. NaN and infinities become the texts 'NaN', 'Infinity', '-Infinity'."""
    if any(isinstance(x, float) and not math.isfinite(x) for x in line.metrics.values()):
        line = msgspec.structs.replace(line, metrics={k: _named(x) for k, x in line.metrics.items()})
    return _encoder.encode(line) + b"\n"


def decode(text: bytes) -> SpoolLine:
    """Parse one line. Raises ValueError for anything but a line of version 1."""
    try:
        line = _decoder.decode(text)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None
    if line.v != WIRE_VERSION:
        raise ValueError(f"wire version {line.v}; supported is {WIRE_VERSION}")
    return line


def number(value: float | str) -> float:
    """The value of a metric as a float. Raises ValueError for a text other than those of NON_FINITE."""
    if not isinstance(value, str):
        return value
    if value not in NON_FINITE:
        raise ValueError(f"the value {value[:50]!r} is neither a number nor one of {', '.join(NON_FINITE)}")
    return NON_FINITE[value]


def _named(value: Any) -> Any:
    if isinstance(value, str) or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
