"""Writes of points: a journal row a batch, folded into segments and chunks.

A batch may arrive twice, late or out of order: its number within its stream decides, and nothing is lost or doubled.
Batches behind a gap wait in the journal until it is filled. Every function joins the caller's transaction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from django.db import connection, transaction

from jobs.models import Batch, Stream
from jobs.series import codec, grow, metric_summary
from jobs.series.codec import NO_STEP, Columns, Key, Point

# Batches between two folds. Reading the journal costs more on PostgreSQL (blobs travel as text), so it stays short.
FOLD_EVERY = {"sqlite": 64, "postgresql": 16}
# The two statements of every batch, in SQL: building them from querysets took four times as long as running them
# (measured 2026-11-22, batches of 12 points).
FIND_STREAM = "SELECT id, last_seq FROM jobs_stream WHERE run_id = %s AND attempt = %s AND name = %s"
INSERT_BATCH = (
    "INSERT INTO jobs_batch (stream_id, seq, first_step, first_at_us, data) VALUES (%s, %s, %s, %s, %s) "
    "ON CONFLICT DO NOTHING"
)


def append(run_id: str, attempt: int, stream: str, seq: int, points: Sequence[Point]) -> None:
    """Add batch `seq` (counted from 0) of a stream. A batch that is stored already changes nothing.

    Raises ValueError for a negative seq, a time that is not finite or a step outside int64.
    """
    append_columns(run_id, attempt, stream, seq, codec.columns_by_key(points))


def append_columns(run_id: str, attempt: int, stream: str, seq: int, groups: Mapping[Key, Columns]) -> None:
    """The same for points in columns, none of them empty: a third of the cost."""
    if seq < 0:
        raise ValueError(f"batches are numbered from 0, not {seq}")
    with transaction.atomic(savepoint=False):
        stream_id, last_seq = _stream(run_id, attempt, stream)
        if seq <= last_seq:
            return
        row = [stream_id, seq, *_beginning(groups), codec.encode_batch(groups)]
        with connection.cursor() as cursor:
            cursor.execute(INSERT_BATCH, row)
            is_new = cursor.rowcount == 1
        if is_new:
            metric_summary.add(run_id, groups)
        if (seq + 1) % FOLD_EVERY[connection.vendor] == 0:
            fold(stream_id)


def close(run_id: str, attempt: int) -> None:
    """Fold all batches of an attempt that has ended. Later points are still accepted."""
    for stream_id in Stream.objects.filter(run_id=run_id, attempt=attempt).values_list("id", flat=True):
        fold(stream_id, is_closing=True)


def contiguous_end(stream_id: int) -> int:
    """The newest batch before the first gap; -1 without any batch."""
    last_seq = Stream.objects.values_list("last_seq", flat=True).get(id=stream_id)
    waiting = Batch.objects.filter(stream_id=stream_id, seq__gt=last_seq).order_by("seq")
    return _contiguous_end(last_seq, waiting.values_list("seq", flat=True))


def fold(stream_id: int, *, is_closing: bool = False) -> None:
    """Move the stream's batches up to the first gap from the journal into its series: all or nothing."""
    with transaction.atomic(savepoint=False):
        stream = Stream.objects.select_for_update().get(id=stream_id)
        waiting = Batch.objects.filter(stream=stream, seq__gt=stream.last_seq).order_by("seq")
        # Batches behind a gap wait, however many: their numbers are read, their points are not.
        last_seq = _contiguous_end(stream.last_seq, waiting.values_list("seq", flat=True).iterator())
        if folded := list(waiting.filter(seq__lte=last_seq)):
            stream.last_seq = last_seq
            stream.first_step = _lowest([stream.first_step, *(batch.first_step for batch in folded)])
            stream.first_at_us = _lowest([stream.first_at_us, *(batch.first_at_us for batch in folded)])
            stream.save(update_fields=["last_seq", "first_step", "first_at_us"])
            grow.extend(stream.id, last_seq, _merged(folded))
            # Including rows that were inserted again while another transaction folded them.
            Batch.objects.filter(stream=stream, seq__lte=last_seq).delete()
        if is_closing:
            grow.close(stream.id, stream.last_seq)


def _stream(run_id: str, attempt: int, name: str) -> tuple[int, int]:
    with connection.cursor() as cursor:
        cursor.execute(FIND_STREAM, [run_id, attempt, name])
        found = cursor.fetchone()
    if found is None:
        stream, _ = Stream.objects.get_or_create(run_id=run_id, attempt=attempt, name=name)
        return stream.id, stream.last_seq
    return found


def _beginning(groups: Mapping[Key, Columns]) -> tuple[int | None, int | None]:
    """The lowest step and time of a batch; None for a batch without any."""
    if not groups:
        return None, None
    # Groups may share columns, so each column is read once.
    steps = np.concatenate(list({id(columns.steps): columns.steps for columns in groups.values()}.values()))
    times_us = {id(columns.times_us): columns.times_us for columns in groups.values()}.values()
    first, first_at_us = int(steps.min()), min(int(column.min()) for column in times_us)
    if first == NO_STEP:
        there = steps[steps != NO_STEP]
        return (int(there.min()) if len(there) else None), first_at_us
    return first, first_at_us


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
