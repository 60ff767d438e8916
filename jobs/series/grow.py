"""Segments and chunks: storage of a stream's series behind the journal.

All series of a fold share their statements: with separate statements for each series, the ORM took more time than
everything else about a point (0.75 us of 1.8 through HTTP in batches of 1,000; 2026-11-27).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from django.db import connection

from jobs.models import Chunk, ChunkData, Segment, StoredSeries
from jobs.series import codec
from jobs.series.codec import NO_STEP, Columns, Key
from jobs.series.summary import CHUNK, summarise

SEAL_AT_CLOSE = 256  # a shorter tail is not worth a chunk
IDS_PER_QUERY = 500
COUNTS = ("count", "pending", "chunks", "last_step", "last_at_us", "last_value")
NOTHING = Columns(np.empty(0, "<i8"), np.empty(0, "<i8"), np.empty(0, "<f8"))


def extend(stream_id: int, seq: int, groups: Mapping[Key, Columns]) -> None:
    """Append columns, none of them empty; `seq`: the newest batch in them."""
    known = {
        (series.metric, series.source): series for series in StoredSeries.objects.filter(stream=stream_id)
    }
    missing = [
        StoredSeries(stream_id=stream_id, metric=key[0], source=key[1]) for key in groups if key not in known
    ]
    for series in StoredSeries.objects.bulk_create(missing):
        known[series.metric, series.source] = series
    grown = [(known[key], columns) for key, columns in groups.items()]
    for series, columns in grown:
        _count(series, columns)
    full = [(series, columns) for series, columns in grown if series.pending >= CHUNK]
    _add_segments([(series, columns) for series, columns in grown if series.pending < CHUNK], seq)
    _seal(full, seq, at_least=CHUNK)
    _save_counts([series for series, _ in grown])


def close(stream_id: int, seq: int) -> None:
    """Seal the open tail of every series; a short tail stays one segment."""
    tails = [(series, NOTHING) for series in StoredSeries.objects.filter(stream=stream_id, pending__gt=0)]
    _seal(tails, seq, at_least=SEAL_AT_CLOSE)
    _save_counts([series for series, _ in tails])


def _count(series: StoredSeries, columns: Columns) -> None:
    series.count += len(columns.steps)
    series.pending += len(columns.steps)
    step, value = int(columns.steps[-1]), float(columns.values[-1])
    series.last_step = None if step == NO_STEP else step
    series.last_at_us = int(columns.times_us[-1])
    series.last_value = None if np.isnan(value) else value


def _save_counts(changed: Sequence[StoredSeries]) -> None:
    """One prepared UPDATE a series: bulk_update's CASE expressions cost ten times as much."""
    assignments = ", ".join(f"{field} = %s" for field in COUNTS)
    rows = [(*(getattr(series, field) for field in COUNTS), series.id) for series in changed]
    with connection.cursor() as cursor:
        cursor.executemany(f"UPDATE {StoredSeries._meta.db_table} SET {assignments} WHERE id = %s", rows)


def _add_segments(parts: Sequence[tuple[StoredSeries, Columns]], seq: int) -> None:
    Segment.objects.bulk_create(
        Segment(series=series, seq=seq, count=len(columns.steps), data=codec.pack(columns))
        for series, columns in parts
    )


def _seal(grown: Sequence[tuple[StoredSeries, Columns]], seq: int, *, at_least: int) -> None:
    """Turn open tails and their new points into chunks while they hold `at_least` points; the rest of each becomes
    one segment. Updates `pending` and `chunks`, which the caller saves."""
    ids = [series.id for series, _ in grown]
    open_parts = _segments(ids)
    chunks: list[tuple[Chunk, Columns]] = []
    rests = []
    for series, columns in grown:
        tail = codec.concatenate([*open_parts[series.id], columns])
        while len(tail.steps) >= at_least:
            chunks.append((_chunk(series, tail.only(slice(CHUNK))), tail.only(slice(CHUNK))))
            tail = tail.only(slice(CHUNK, None))
            series.chunks += 1
        series.pending = len(tail.steps)
        if series.pending:
            rests.append((series, tail))
    Chunk.objects.bulk_create(chunk for chunk, _ in chunks)
    ChunkData.objects.bulk_create(
        ChunkData(chunk=chunk, data=codec.compress(columns)) for chunk, columns in chunks
    )
    for some in _pieces(ids):
        Segment.objects.filter(series_id__in=some).delete()
    _add_segments(rests, seq)


def _segments(ids: Sequence[int]) -> dict[int, list[Columns]]:
    """The open tails of series, in order."""
    found: dict[int, list[Columns]] = defaultdict(list)
    for some in _pieces(ids):
        rows = Segment.objects.filter(series_id__in=some).order_by("series_id", "seq")
        for series_id, data, count in rows.values_list("series_id", "data", "count"):
            found[series_id].append(codec.unpack(bytes(data), count))
    return found


def _pieces(ids: Sequence[int]) -> list[Collection[int]]:
    return [ids[start : start + IDS_PER_QUERY] for start in range(0, len(ids), IDS_PER_QUERY)]


def _chunk(series: StoredSeries, columns: Columns) -> Chunk:
    whole = summarise(columns, size=CHUNK)[0]
    has_steps = whole["last_step"] != NO_STEP
    has_finite = whole["num_finite"] > 0
    return Chunk(
        series=series,
        index=series.chunks,
        count=int(whole["count"]),
        first_step=int(whole["first_step"]) if has_steps else None,
        last_step=int(whole["last_step"]) if has_steps else None,
        first_at_us=int(whole["first_at_us"]),
        last_at_us=int(columns.times_us.max()),
        low=float(whole["low"]) if has_finite else None,
        high=float(whole["high"]) if has_finite else None,
        mean=float(whole["mean"]) if has_finite else None,
        num_finite=int(whole["num_finite"]),
        num_nan=int(whole["num_nan"]),
        num_plus=int(whole["num_plus"]),
        summary=summarise(columns).tobytes(),
    )
