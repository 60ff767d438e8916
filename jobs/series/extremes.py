"""Extremes of whole series and energy per token, without reading all points."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from jobs.series import axis as axes
from jobs.series import measured_axes
from jobs.series.snapshot import SeriesKey, SeriesSnapshot, read_snapshot

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
