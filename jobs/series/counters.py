"""Values of a counter at given moments, by source."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from jobs.series.codec import Columns
from jobs.series.snapshot import Sealed, points_of, read_snapshot

At = tuple[float, float]  # unix time, value


def counter_values(
    run_id: str, attempt: int, metric: str, moments: Sequence[float]
) -> dict[str, list[At | None]]:
    """Of one attempt, by source: the newest finite point up to each moment (unix time), or None. Decodes at most one
    chunk for each moment and source, however long the attempt is."""
    snapshot = read_snapshot([run_id], {metric})
    found: dict[str, list[At | None]] = {}
    for key in sorted(snapshot.keys()):
        tail = snapshot.tails.get(key, {}).get(attempt)
        chunks = [chunk for chunk in snapshot.chunks.get(key, []) if chunk.attempt == attempt]
        if tail is None and not chunks:
            continue
        wanted = {moment: _last_started(chunks, moment) for moment in moments}
        points = points_of(chunk for chunk in wanted.values() if chunk is not None)
        found[key.source] = [_newest(_parts(tail, wanted[moment], points), moment) for moment in moments]
    return found


def _last_started(chunks: Sequence[Sealed], moment: float) -> Sealed | None:
    begun = [chunk for chunk in chunks if chunk.first_at_us <= moment * 1e6]
    return begun[-1] if begun else None


def _parts(tail: Columns | None, chunk: Sealed | None, points: dict[int, Columns]) -> Iterable[Columns]:
    if tail is not None:
        yield tail
    if chunk is not None:
        yield points[chunk.id]


def _newest(parts: Iterable[Columns], moment: float) -> At | None:
    newest: At | None = None
    for columns in parts:
        there = np.flatnonzero((columns.times_us <= moment * 1e6) & np.isfinite(columns.values))
        if len(there):
            at, value = columns.times_us[there[-1]].item() / 1e6, columns.values[there[-1]].item()
            if newest is None or at > newest[0]:
                newest = (at, value)
    return newest
