"""Extremes of whole series and energy per token, without reading all points."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from jobs.series import axis as axes
from jobs.series import lengths
from jobs.series.snapshot import SeriesKey, Snapshot, take

SLICES = 10  # of the time in which a run made tokens; the spread of its energy per token is over these


class Spread(NamedTuple):
    """A figure with the least and the greatest that it was."""

    value: float
    low: float
    high: float


def peaks(run_ids: Sequence[str], metrics: Collection[str]) -> dict[tuple[str, str], Spread]:
    """(run, metric) -> the greatest value that any source ever had; low is that of the source with the lowest peak.
    Costs one statement: chunks carry their extremes."""
    snapshot = take(run_ids, metrics)
    highest: dict[tuple[str, str], list[float]] = {}
    for key in snapshot.keys():  # noqa: SIM118  (a snapshot is no dict)
        if (high := _high(snapshot, key)) is not None:
            highest.setdefault((key.run, key.metric), []).append(high)
    return {of: Spread(max(some), min(some), max(some)) for of, some in highest.items()}


def _high(snapshot: Snapshot, key: SeriesKey) -> float | None:
    sealed = [chunk.high for chunk in snapshot.chunks.get(key, []) if chunk.high is not None]
    tails = [columns.values[np.isfinite(columns.values)] for columns in snapshot.tails.get(key, {}).values()]
    return max([*sealed, *(float(values.max()) for values in tails if len(values))], default=None)


def joules_per_token(run_ids: Sequence[str]) -> dict[str, Spread]:
    """Joules of all devices over the tokens that they made, for the runs that have both. Work that a later attempt
    made again has cost its energy and counts; its tokens count once."""
    snapshot = take(run_ids, {lengths.ENERGY, lengths.TOKENS[0]})
    found = {run: _per_token(snapshot, run) for run in run_ids}
    return {run: spread for run, spread in found.items() if spread}


def _per_token(snapshot: Snapshot, run: str) -> Spread | None:
    energy = lengths.energy_of(snapshot, run)
    counted = lengths.elements_of_key(snapshot, SeriesKey(run, *lengths.TOKENS), axes.time(None, None))
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
