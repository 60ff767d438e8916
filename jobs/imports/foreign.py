"""Runs of other trackers, in our terms."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from engine.telemetry import point_limits
from jobs.series import Point

NOT_FINITE = {
    "nan": math.nan,
    "infinity": math.inf,
    "-infinity": -math.inf,
    "inf": math.inf,
    "-inf": -math.inf,
}


class ImportRefused(ValueError):
    """A file or folder is not in the expected format; the message names it and the reason."""


@dataclass
class ForeignStream:
    """Points in file order. Points that an earlier import stored are a prefix of them."""

    attempt: int
    name: str
    points: Iterable[Point]


@dataclass
class ForeignRun:
    """A run of another tracker.

    `key` identifies the run permanently, so that a second import finds it. `left_out` counts data that has no
    place here.
    """

    key: str
    origin: str  # tensorboard, wandb, mlflow
    name: str
    project: str = ""
    parent_key: str = ""
    state: str = "succeeded"
    started_at: datetime | None = None
    ended_at: datetime | None = None
    note: str = ""
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    streams: list[ForeignStream] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def metric_name(name: str) -> str:
    """The name without the characters that no column holds, cut to the length of one."""
    name = name.encode("utf-8", "replace").decode().replace("\0", "")[: point_limits.METRIC_CHARS]
    return name if name.strip() else "unnamed"


def as_value(value: object) -> float | None:
    """A number, also from the spelling JSON uses for non-finite ones; None for anything else."""
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            return None
    return NOT_FINITE.get(value.lower()) if isinstance(value, str) else None


def as_time(seconds: float | None) -> datetime | None:
    """None for a time outside the years 1970 to 9999."""
    if seconds is None or point_limits.time_error(seconds):
        return None
    return datetime.fromtimestamp(seconds, UTC)
