"""Axes made of measured series: tokens by step, energy by time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jobs.series import axis as axes
from jobs.series.axis import X, XAxis
from jobs.series.buckets import Elements
from jobs.series.codec import Floats
from jobs.series.read_plan import DECODED_PER_POINT, elements_of, plan_read
from jobs.series.snapshot import SeriesKey, SeriesSnapshot
from jobs.series.summary import BUCKET

TOKENS = ("tokens", "run")
ENERGY = "energy_j"  # of each device, since the attempt began
BEHIND: dict[X, frozenset[str]] = {"tokens": frozenset({TOKENS[0]}), "energy": frozenset({ENERGY})}
POINTS = DECODED_PER_POINT * BUCKET


def axes_of(
    snapshot: SeriesSnapshot, runs: Sequence[str], x: X, lo: float | None, hi: float | None
) -> dict[str, XAxis]:
    """Run -> its axis, for the runs that have one of this kind. `lo` and `hi` in units of x."""
    found = ((run, _axis(snapshot, run, x, lo, hi)) for run in runs)
    return {run: axis for run, axis in found if axis}


def _axis(snapshot: SeriesSnapshot, run: str, x: X, lo: float | None, hi: float | None) -> XAxis | None:
    if x == "step":
        return axes.steps(lo, hi)
    if x == "time":
        return axes.time(lo, hi)
    if x == "relative":
        starts = snapshot.starts.get(run, {})
        return axes.time(lo, hi, min((head.first_at_us for head in starts.values()), default=0))
    if x == "energy":
        known = energy_of(snapshot, run)
        return axes.energy(lo, hi, *known) if known else None
    found = elements_of_key(snapshot, SeriesKey(run, *TOKENS), axes.steps(None, None))
    if found is None:
        return None
    return axes.tokens(lo, hi, found.position.astype(np.float64), np.maximum.accumulate(found.mean))


def elements_of_key(snapshot: SeriesSnapshot, key: SeriesKey, axis: XAxis) -> Elements | None:
    return elements_of([plan_read(snapshot, key, axis, POINTS)])[0]


def energy_of(snapshot: SeriesSnapshot, run: str) -> tuple[Floats, Floats] | None:
    """Times in microseconds and the joules that all devices of the run had used by then, over all attempts."""
    known = snapshot.keys()
    keys = [key for key in known if key.run == run and key.metric == ENERGY]
    devices = [key for key in keys if key.source != "run"]
    read = [elements_of_key(snapshot, key, axes.time(None, None)) for key in devices or keys]
    found = [(one.position.astype(np.float64), _counted(one.low)) for one in read if one]
    if not found:
        return None
    moments = np.unique(np.concatenate([moments for moments, _ in found]))
    used = [np.interp(moments, at, joules, left=0.0) for at, joules in found]
    return moments, np.sum(used, axis=0)


def _counted(readings: Floats) -> Floats:
    """A counter that never falls, made of one that restarts at zero with each attempt."""
    readings = np.where(np.isfinite(readings), readings, 0.0)
    more = np.diff(readings, prepend=0.0)
    return np.cumsum(np.where(more < 0, readings, more))
