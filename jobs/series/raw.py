"""All points as written, including steps that a later attempt repeated."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

import numpy as np

from jobs.series import codec
from jobs.series.codec import Columns
from jobs.series.names import names
from jobs.series.snapshot import Sealed, SeriesKey, points_of, read_snapshot

METRICS_AT_ONCE = 20  # metrics held in memory at a time


class Raw(NamedTuple):
    """The points of one metric and source in one attempt, in order of arrival; a step may be NO_STEP."""

    metric: str
    source: str
    attempt: int
    columns: Columns


def raw(run_id: str, metrics: Collection[str] | None = None) -> Iterator[Raw]:
    """Sorted by metric, source and attempt. `metrics`: None for all."""
    wanted = sorted({name.metric for name in names(run_id)} if metrics is None else set(metrics))
    for first in range(0, len(wanted), METRICS_AT_ONCE):
        snapshot = read_snapshot([run_id], wanted[first : first + METRICS_AT_ONCE])
        for key in sorted(snapshot.keys()):
            yield from _read_series(key, snapshot.chunks.get(key, []), snapshot.tails.get(key, {}))


def raw_of_runs(run_ids: Collection[str], metric: str, source: str = "run") -> dict[str, Columns]:
    """Run -> its points of one series over all attempts, sorted by time, then step; one statement. Runs without points
    are left out."""
    snapshot = read_snapshot(run_ids, {metric}, {source})
    points = points_of(chunk for chunks in snapshot.chunks.values() for chunk in chunks)
    found = {}
    for run_id in run_ids:
        key = SeriesKey(run_id, metric, source)
        parts = [points[chunk.id] for chunk in snapshot.chunks.get(key, [])]
        parts += snapshot.tails.get(key, {}).values()
        if parts:
            columns = codec.concatenate(parts)
            found[run_id] = columns.only(np.lexsort((columns.values, columns.steps, columns.times_us)))
    return found


def _read_series(key: SeriesKey, chunks: list[Sealed], tails: dict[int, Columns]) -> Iterator[Raw]:
    for attempt in sorted({*tails, *(chunk.attempt for chunk in chunks)}):
        sealed = [chunk for chunk in chunks if chunk.attempt == attempt]
        points = points_of(sealed)
        parts = [points[chunk.id] for chunk in sealed]
        if attempt in tails:
            parts.append(tails[attempt])
        yield Raw(key.metric, key.source, attempt, codec.concatenate(parts))
