"""Adding points: one journal row a batch, folded into segments and sealed into chunks as they grow.

A batch may come twice, late or out of order: its number within its stream decides, and nothing is lost or doubled.
A hole waits in the journal until it is filled. Every function runs inside the caller's transaction if there is one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from django.db import connection, transaction

from jobs.models import Batch, Chunk, ChunkData, Segment, StoredSeries, Stream
from jobs.series import brief, codec
from jobs.series.codec import NO_STEP, Columns, Key, Point
from jobs.series.summary import CHUNK, summarise

# Batches between two folds. On PostgreSQL reading the journal costs more (blobs travel as text), so it is kept short.
FOLD_EVERY = {"sqlite": 64, "postgresql": 16}
# The two statements of every batch, in SQL: building them from querysets cost four times what they do (measured
# 2026-11-22, batches of 12 points).
FIND_STREAM = "SELECT id, last_seq FROM jobs_stream WHERE run_id = %s AND attempt = %s AND name = %s"
INSERT_BATCH = (
    "INSERT INTO jobs_batch (stream_id, seq, first_step, first_at_us, data) VALUES (%s, %s, %s, %s, %s) "
    "ON CONFLICT DO NOTHING"
)
SEAL_AT_CLOSE = 256  # a shorter tail is not worth a chunk


def append(run_id: str, attempt: int, stream: str, seq: int, points: Sequence[Point]) -> None:
    """Add batch `seq` (counted from 0) of a stream. A batch that is already here changes nothing.

    Raises ValueError for a negative seq, a time that is not finite or a step outside int64.
    """
    append_columns(run_id, attempt, stream, seq, codec.columns_by_key(points))


def append_columns(run_id: str, attempt: int, stream: str, seq: int, groups: Mapping[Key, Columns]) -> None:
    """The same for points that come in columns, none of them empty: a third of the cost."""
    if seq < 0:
        raise ValueError(f"batches are numbered from 0, not {seq}")
    with transaction.atomic():
        stream_id, last_seq = _stream(run_id, attempt, stream)
        if seq <= last_seq:
            return
        row = [stream_id, seq, *_beginning(groups), codec.encode_batch(groups)]
        with connection.cursor() as cursor:
            cursor.execute(INSERT_BATCH, row)
            is_new = cursor.rowcount == 1
        if is_new:
            brief.add(run_id, groups)
        if (seq + 1) % FOLD_EVERY[connection.vendor] == 0:
            fold(stream_id)


def close(run_id: str, attempt: int) -> None:
    """Fold everything of an attempt that has ended. Points that come later are still taken."""
    for stream_id in Stream.objects.filter(run_id=run_id, attempt=attempt).values_list("id", flat=True):
        fold(stream_id, is_closing=True)


def contiguous_end(stream_id: int) -> int:
    """The newest batch before the first that is missing; -1 where there is none."""
    last_seq = Stream.objects.values_list("last_seq", flat=True).get(id=stream_id)
    waiting = Batch.objects.filter(stream_id=stream_id, seq__gt=last_seq).order_by("seq")
    return _contiguous_end(last_seq, waiting.values_list("seq", flat=True))


def fold(stream_id: int, *, is_closing: bool = False) -> None:
    """Move the stream's batches, up to the first hole, from the journal into its series: all or nothing."""
    with transaction.atomic():
        stream = Stream.objects.select_for_update().get(id=stream_id)
        waiting = list(Batch.objects.filter(stream=stream, seq__gt=stream.last_seq).order_by("seq"))
        last_seq = _contiguous_end(stream.last_seq, [batch.seq for batch in waiting])
        folded = [batch for batch in waiting if batch.seq <= last_seq]
        if folded:
            stream.last_seq = last_seq
            stream.first_step = _lowest([stream.first_step, *(batch.first_step for batch in folded)])
            stream.first_at_us = _lowest([stream.first_at_us, *(batch.first_at_us for batch in folded)])
            stream.save(update_fields=["last_seq", "first_step", "first_at_us"])
            _extend(stream, _merged(folded))
            # Also rows that slipped in again while another transaction folded them.
            Batch.objects.filter(stream=stream, seq__lte=last_seq).delete()
        if is_closing:
            for series in StoredSeries.objects.filter(stream=stream, pending__gt=0):
                _seal(series, stream.last_seq, at_least=SEAL_AT_CLOSE)


def _stream(run_id: str, attempt: int, name: str) -> tuple[int, int]:
    with connection.cursor() as cursor:
        cursor.execute(FIND_STREAM, [run_id, attempt, name])
        found = cursor.fetchone()
    if found is None:
        stream, _ = Stream.objects.get_or_create(run_id=run_id, attempt=attempt, name=name)
        return stream.id, stream.last_seq
    return found


def _beginning(groups: Mapping[Key, Columns]) -> tuple[int | None, int | None]:
    """The lowest step and time of a batch; None for one without."""
    if not groups:
        return None, None
    steps, times_us, _ = codec.concatenate(list(groups.values()))
    first = int(steps.min())
    if first == NO_STEP:
        there = steps[steps != NO_STEP]
        return (int(there.min()) if len(there) else None), int(times_us.min())
    return first, int(times_us.min())


def _lowest(numbers: list[int | None]) -> int | None:
    return min((number for number in numbers if number is not None), default=None)


def _contiguous_end(last_seq: int, seqs: Iterable[int]) -> int:
    for seq in seqs:
        if seq != last_seq + 1:
            break
        last_seq = seq
    return last_seq


def _merged(batches: list[Batch]) -> dict[Key, Columns]:
    parts: dict[Key, list[Columns]] = defaultdict(list)
    for batch in batches:
        for key, columns in codec.decode_batch(bytes(batch.data)):
            parts[key].append(columns)
    return {key: codec.concatenate(some) for key, some in parts.items()}


def _extend(stream: Stream, groups: dict[Key, Columns]) -> None:
    known = {(series.metric, series.source): series for series in StoredSeries.objects.filter(stream=stream)}
    missing = [
        StoredSeries(stream=stream, metric=key[0], source=key[1]) for key in groups if key not in known
    ]
    for series in StoredSeries.objects.bulk_create(missing):
        known[series.metric, series.source] = series
    changed = []
    segments = []
    for key, columns in groups.items():
        series = known[key]
        _count(series, columns)
        segments.append(
            Segment(series=series, seq=stream.last_seq, count=len(columns.steps), data=codec.pack(columns))
        )
        changed.append(series)
    Segment.objects.bulk_create(segments)
    _save_counts(changed)
    for series in changed:
        if series.pending >= CHUNK:
            _seal(series, stream.last_seq, at_least=CHUNK)


def _count(series: StoredSeries, columns: Columns) -> None:
    series.count += len(columns.steps)
    series.pending += len(columns.steps)
    step, value = int(columns.steps[-1]), float(columns.values[-1])
    series.last_step = None if step == NO_STEP else step
    series.last_at_us = int(columns.times_us[-1])
    series.last_value = None if np.isnan(value) else value


def _save_counts(changed: list[StoredSeries]) -> None:
    """One prepared UPDATE a series: bulk_update's CASE expressions cost ten times as much."""
    fields = ("count", "pending", "chunks", "last_step", "last_at_us", "last_value")
    assignments = ", ".join(f"{field} = %s" for field in fields)
    rows = [(*(getattr(series, field) for field in fields), series.id) for series in changed]
    with connection.cursor() as cursor:
        cursor.executemany(f"UPDATE {StoredSeries._meta.db_table} SET {assignments} WHERE id = %s", rows)


def _seal(series: StoredSeries, seq: int, *, at_least: int) -> None:
    """Turn the open tail into chunks while it holds `at_least` points; what is left becomes one segment."""
    rows = Segment.objects.filter(series=series).order_by("seq").values_list("data", "count")
    tail = codec.concatenate([codec.unpack(bytes(data), count) for data, count in rows])
    while len(tail.steps) >= at_least:
        _write_chunk(series, tail.only(slice(CHUNK)))
        tail = tail.only(slice(CHUNK, None))
    Segment.objects.filter(series=series).delete()
    if len(tail.steps):
        Segment.objects.create(series=series, seq=seq, count=len(tail.steps), data=codec.pack(tail))
    series.pending = len(tail.steps)
    series.save(update_fields=["pending", "chunks"])


def _write_chunk(series: StoredSeries, columns: Columns) -> None:
    whole = summarise(columns, size=CHUNK)[0]
    has_steps = whole["last_step"] != NO_STEP
    has_finite = whole["num_finite"] > 0
    chunk = Chunk.objects.create(
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
    ChunkData.objects.create(chunk=chunk, data=codec.compress(columns))
    series.chunks += 1
