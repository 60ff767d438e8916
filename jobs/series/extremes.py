"""Extremes of whole series and energy per token, without reading all points."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from jobs.series import axis as axes
from jobs.series import codec, measured_axes
from jobs.series.codec import Columns
from jobs.series.snapshot import Sealed, SeriesKey, SeriesSnapshot, points_of, read_snapshot

SLICES = 10  # equal parts of the time in which a run processed tokens; the spread is taken over them


class Spread(NamedTuple):
    """A figure with its minimum and maximum."""

    value: float
    low: float
    high: float


def peaks(run_ids: Sequence[str], metrics: Collection[str]) -> dict[tuple[str, str], Spread]:
    """(run, metric) -> the maximum over all sources; low is the maximum of the source with the lowest one. One
    statement: chunks carry their extremes."""
    snapshot = read_snapshot(run_ids, metrics)
    highest: dict[tuple[str, str], list[float]] = {}
    for key in snapshot.keys():  # noqa: SIM118  (a snapshot is no dict)
        if (high := _high(snapshot, key)) is not None:
            highest.setdefault((key.run, key.metric), []).append(high)
    return {of: Spread(max(some), min(some), max(some)) for of, some in highest.items()}


def _high(snapshot: SeriesSnapshot, key: SeriesKey) -> float | None:
    sealed = [chunk.high for chunk in snapshot.chunks.get(key, []) if chunk.high is not None]
    tails = [columns.values[np.isfinite(columns.values)] for columns in snapshot.tails.get(key, {}).values()]
    return max([*sealed, *(float(values.max()) for values in tails if len(values))], default=None)


class Extreme(NamedTuple):
    """A finite value and the first step at which it was recorded; None if that point has no step."""

    value: float
    step: int | None


def extremes_of_runs(
    run_ids: Collection[str], metrics: Collection[str], source: str = "run"
) -> dict[tuple[str, str], tuple[Extreme, Extreme]]:
    """(run, metric) -> the lowest and the highest value over all attempts, for series with a finite value. One
    statement, and the chunks that hold an extreme."""
    snapshot = read_snapshot(run_ids, metrics, {source})
    holders: dict[SeriesKey, list[Sealed]] = {}
    for key, chunks in snapshot.chunks.items():
        finite = [chunk for chunk in chunks if chunk.low is not None and chunk.high is not None]
        if finite:
            ends = (
                min(chunk.low for chunk in finite if chunk.low is not None),
                max(chunk.high for chunk in finite if chunk.high is not None),
            )
            first = [
                next(chunk for chunk in finite if ends[0] == chunk.low),
                next(chunk for chunk in finite if ends[1] == chunk.high),
            ]
            holders[key] = list({chunk.id: chunk for chunk in first}.values())
    points = points_of(chunk for chunks in holders.values() for chunk in chunks)
    found = {}
    for key in snapshot.keys():  # noqa: SIM118  (a snapshot is no dict)
        parts = [points[chunk.id] for chunk in holders.get(key, [])]
        parts += snapshot.tails.get(key, {}).values()
        columns = codec.concatenate(parts) if parts else None
        if columns is not None and np.isfinite(columns.values).any():
            found[key.run, key.metric] = (_extreme(columns, 1.0), _extreme(columns, -1.0))
    return found


def _extreme(columns: Columns, sign: float) -> Extreme:
    """The lowest value for a sign of 1, the highest for -1."""
    signed = np.where(np.isfinite(columns.values), sign * columns.values, np.inf)
    rows = np.flatnonzero(signed == signed.min())
    row = rows[np.argmin(columns.steps[rows])]
    step = int(columns.steps[row])
    return Extreme(columns.values[row].item(), None if step == codec.NO_STEP else step)


def joules_per_token(run_ids: Sequence[str]) -> dict[str, Spread]:
    """Joules of all devices per token, for the runs that have both. The energy of steps that a later attempt repeated
    counts; their tokens count once."""
    snapshot = read_snapshot(run_ids, {measured_axes.ENERGY, measured_axes.TOKENS[0]})
    found = {run: _per_token(snapshot, run) for run in run_ids}
    return {run: spread for run, spread in found.items() if spread}


def _per_token(snapshot: SeriesSnapshot, run: str) -> Spread | None:
    energy = measured_axes.energy_of(snapshot, run)
    counted = measured_axes.elements_of_key(
        snapshot, SeriesKey(run, *measured_axes.TOKENS), axes.time(None, None)
    )
    if energy is None or counted is None or not counted.high[-1] > 0:
        return None
    moments, joules = energy
    total = joules[-1] / counted.high.max()
    at = np.linspace(max(moments[0], counted.position[0]), min(moments[-1], counted.position[-1]), SLICES + 1)
    used = np.diff(np.interp(at, moments, joules))
    made = np.diff(np.interp(at, counted.position.astype(np.float64), np.maximum.accumulate(counted.high)))
    rates = used[made > 0] / made[made > 0]
    if not len(rates) or at[-1] <= at[0]:
        return Spread(total, total, total)
    return Spread(total, min(total, rates.min()), max(total, rates.max()))
