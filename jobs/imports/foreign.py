"""Runs of other trackers, in our terms."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.telemetry import point_limits
from engine.telemetry.point_limits import NO_STEP
from jobs.series.codec import Columns

NOT_FINITE = {
    "nan": math.nan,
    "infinity": math.inf,
    "-infinity": -math.inf,
    "inf": math.inf,
    "-inf": -math.inf,
}
FILE_POINTS = 20_000_000  # points of one file that are read: 480 MB
FILE_SERIES = 20_000  # metric names of one file that are read
LISTED_PROBLEMS = 200
UNKNOWN_TAG = "fourwalls.state_unknown"  # why the state of an imported run is a guess


class ImportRefused(ValueError):
    """A file or folder is not in the expected format; the message names it and the reason."""


class ImportProblem(NamedTuple):
    """Something that could not be read, by its place."""

    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place} {self.reason}".rstrip(". ") + "."


class ImportProblems:
    """What could not be read of a store. Holds the first LISTED_PROBLEMS and counts the others."""

    def __init__(self) -> None:
        self.listed: list[ImportProblem] = []
        self.count = 0

    def add(self, place: Path | str, reason: str) -> None:
        self.count += 1
        if len(self.listed) < LISTED_PROBLEMS:
            self.listed.append(ImportProblem(printable(str(place)), printable(reason)[:500]))


class PointColumns:
    """The points of one metric in the order of writing, growing column by column."""

    __slots__ = ("steps", "times_us", "values")

    def __init__(self) -> None:
        self.steps, self.times_us, self.values = array("q"), array("q"), array("d")

    def __len__(self) -> int:
        return len(self.steps)

    def columns(self) -> Columns:
        """Copies, because an array that is viewed cannot grow."""
        return Columns(
            np.array(self.steps, dtype="<i8"),
            np.array(self.times_us, dtype="<i8"),
            np.array(self.values, dtype="<f8"),
        )


class Purge(NamedTuple):
    """A restart that the writer itself recorded: everything from `step` on that was written before is obsolete."""

    step: int
    lengths: dict[str, int]  # metric -> its points in this writer before the restart


class ForeignWriter:
    """The points that one process wrote, such as an event file. Writers of a run are ordered by their start."""

    def __init__(self, name: str, started_at: float | None = None) -> None:
        self.name = name
        self.started_at = started_at  # unix time of its creation, where its name gives it
        self.series: dict[str, PointColumns] = {}
        self.purges: list[Purge] = []
        self.refused: Counter[str] = Counter()  # rule -> points that break it
        self._names: dict[str, str] = {}
        self._num_points = 0

    def add(self, metric: str, step: int | None, at: float, value: float) -> None:
        """Add a point, or count it by the rule that it breaks."""
        if broken := point_limits.time_error(at) or point_limits.step_error(step):
            self.refused[broken] += 1
            return
        if (name := self._names.get(metric)) is None:
            name = self._names[metric] = metric_name(metric)
        points = self.series.get(name)
        if points is None:
            if len(self.series) >= FILE_SERIES:
                self.refused[f"a file has at most {FILE_SERIES:,} metrics"] += 1
                return
            points = self.series[name] = PointColumns()
        if self._num_points >= FILE_POINTS:
            self.refused[f"a file has at most {FILE_POINTS:,} points"] += 1
            return
        self._num_points += 1
        points.steps.append(NO_STEP if step is None else step)
        points.times_us.append(round(at * 1e6))
        points.values.append(value)

    def add_columns(self, metric: str, columns: Columns) -> None:
        """Add valid points."""
        points = self.series.setdefault(metric, PointColumns())
        points.steps.extend(columns.steps.tolist())
        points.times_us.extend(columns.times_us.tolist())
        points.values.extend(columns.values.tolist())

    def only(self, kept: dict[str, npt.NDArray[np.bool_]]) -> ForeignWriter:
        """The writer with these points of each metric."""
        found = ForeignWriter(self.name, self.started_at)
        for metric, chosen in kept.items():
            if chosen.any():
                found.add_columns(metric, self.series[metric].columns().only(chosen))
        found.purges = [
            Purge(step, {metric: int(kept[metric][:length].sum()) for metric, length in lengths.items()})
            for step, lengths in self.purges
        ]
        return found

    def purge(self, step: int) -> None:
        self.purges.append(Purge(step, {name: len(points) for name, points in self.series.items()}))

    def report_refused(self, problems: ImportProblems, place: Path | str) -> None:
        for rule, count in self.refused.items():
            problems.add(place, f"holds {count:,} points that no series can hold: {rule}")

    def span_us(self) -> tuple[int, int] | None:
        """The first and the last time; None without points."""
        ends = [(min(points.times_us), max(points.times_us)) for points in self.series.values() if points]
        return (min(first for first, _ in ends), max(last for _, last in ends)) if ends else None


@dataclass
class ForeignRun:
    """A run of another tracker.

    `key` identifies the run within its tracker; `former_keys` are those under which earlier versions stored it. With
    `is_by_content` the key is not unique, so that a stored run is the same only if it shares points. `left_out` counts
    data that has no place here.
    """

    key: str
    origin: str  # tensorboard, wandb, mlflow
    name: str
    project: str = ""
    parent_key: str = ""
    former_keys: tuple[str, ...] = ()
    is_by_content: bool = False
    state: str = "succeeded"
    unknown_state: str = ""  # why `state` is a guess
    is_archived: bool = False
    started_at: datetime | None = None
    ended_at: datetime | None = None
    note: str = ""
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    writers: list[ForeignWriter] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)  # what a person who imports it should know

    def span_us(self) -> tuple[int, int] | None:
        spans = [span for writer in self.writers if (span := writer.span_us())]
        return (min(first for first, _ in spans), max(last for _, last in spans)) if spans else None


def clean_text(text: str) -> str:
    """The text without the characters that no column holds."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")


def printable(text: str) -> str:
    """The text for a terminal, without control characters and changes of direction."""
    return "".join(letter if letter.isprintable() else "?" for letter in clean_text(text))


def metric_name(name: str) -> str:
    """The name without the characters that no column holds, shortened to the length of one."""
    name = shorten_name(clean_text(name), point_limits.METRIC_CHARS)
    return name if name.strip() else "unnamed"


def shorten_name(name: str, limit: int) -> str:
    """Two long names that begin alike stay different: the end is a digest of the whole."""
    if len(name) <= limit:
        return name
    return f"{name[: limit - 9]}~{blake2b(name.encode(), digest_size=4).hexdigest()}"


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


def earliest(times: Iterable[datetime | None]) -> datetime | None:
    return min((time for time in times if time is not None), default=None)
