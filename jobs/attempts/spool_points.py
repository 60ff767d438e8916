"""Points of a spool line, checked."""

from __future__ import annotations

import math

from engine.telemetry import point_limits
from engine.telemetry.metrics import BY_NAME
from engine.telemetry.wire import SpoolLine, number
from jobs import series
from jobs.attempts import timelines

COLUMN_STEP = 2**31 - 1  # the largest step that the columns of jobs, checkpoints and timelines hold
# The metrics of these lines are points; other lines become rows with a step.
POINT_KINDS = ("step", "validation", "device")


def points_from_line(line: SpoolLine) -> list[series.Point]:
    """Raises ValueError for values that no column holds: the lines after such a line are still read."""
    if line.k == "step" and line.step is None:
        raise ValueError("a step line without its step")
    broken = point_limits.time_error(line.at) or point_limits.source_error(line.source)
    if line.k in POINT_KINDS:
        broken = broken or point_limits.step_error(line.step)
    elif not 0 <= (line.step or 0) <= COLUMN_STEP:
        broken = broken or f"step {line.step} of a {line.k} line is not within 0 and {COLUMN_STEP}"
    # A metric that this version does not know, written by a newer one, is kept under its name.
    for name in line.metrics.keys() - BY_NAME.keys():
        broken = broken or point_limits.name_error(name)
    if broken:
        raise ValueError(broken)
    if not math.isfinite(line.seconds or 0.0):
        raise ValueError("seconds that are not finite")
    # A float needs no call: with one for each value, a line of five metrics cost 4 % more.
    values = {
        name: value if value.__class__ is float else number(value) for name, value in line.metrics.items()
    }
    if line.k in ("timeline", "trace") and (line.step is None or not line.source.startswith("rank")):
        raise ValueError(f"a {line.k} line without its step or rank")
    if line.k == "timeline":
        timelines.validate(line.timeline)
    if line.k == "checkpoint":
        values.pop("validation_loss", None)  # recorded by the validation line
    elif line.k not in POINT_KINDS:
        return []
    return [series.Point(name, line.source, line.step, line.at, value) for name, value in values.items()]
