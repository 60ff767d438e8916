"""Idempotent append for writers that do not number their batches.

MLflow's clients repeat a request whose reply was lost. The digest of the body identifies the repetition; digests are
kept for the newest KEPT requests of a stream, until the run has ended.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from django.db import connection, transaction
from django.db.models import Max

from jobs.models import Delivery, Run, Stream
from jobs.series.codec import Point
from jobs.series.write import append

KEPT = 16_384  # requests of a stream; a client gives up after some minutes
FORGET_EVERY = 1024
FIND = "SELECT id, attempt FROM jobs_stream WHERE run_id = %s AND name = %s ORDER BY attempt DESC LIMIT 1"
INSERT = """
INSERT INTO jobs_delivery (stream_id, digest, seq) VALUES (%s, %s, %s)
ON CONFLICT (stream_id, digest) DO NOTHING"""
# The lock under which numbers are assigned; on SQLite the transaction itself is the lock.
LOCK = {"postgresql": "SELECT 1 FROM jobs_stream WHERE id = %s FOR UPDATE"}
NEXT = """
SELECT CASE WHEN newest > last_seq THEN newest ELSE last_seq END + 1
FROM (SELECT last_seq, COALESCE((SELECT MAX(seq) FROM jobs_batch WHERE stream_id = %s), -1) AS newest
      FROM jobs_stream WHERE id = %s) AS found"""


def deliver(run_id: str, stream: str, body: bytes, points: Sequence[Point]) -> bool:
    """Add the points of a request with this body; a new stream joins the run's newest attempt. False if the body was
    added before; nothing changes then.

    Raises ValueError for a time that is not finite or a step outside int64.
    """
    digest = hashlib.blake2b(body, digest_size=16).digest()
    with transaction.atomic():
        stream_id, attempt = _stream(run_id, stream)
        with connection.cursor() as cursor:
            if lock := LOCK.get(connection.vendor):
                cursor.execute(lock, [stream_id])
            cursor.execute(NEXT, [stream_id, stream_id])
            seq = cursor.fetchone()[0]
            cursor.execute(INSERT, [stream_id, digest, seq])
            if cursor.rowcount == 0:
                return False
        append(run_id, attempt, stream, seq, points)
        if seq % FORGET_EVERY == FORGET_EVERY - 1:
            Delivery.objects.filter(stream_id=stream_id, seq__lt=seq - KEPT).delete()
    return True


def start_session(run_id: str, stream: str) -> None:
    """Begin a new attempt: where it makes a step again, charts show the new value. Nothing changes while the stream has
    no points."""
    with transaction.atomic():
        Run.objects.select_for_update().get(id=run_id)  # serialises two sessions that start at once
        own = Stream.objects.filter(run_id=run_id, name=stream).order_by("-attempt").first()
        if own is None or (own.last_seq < 0 and not own.batches.exists()):
            return
        newest = Stream.objects.filter(run_id=run_id).aggregate(newest=Max("attempt"))["newest"]
        Stream.objects.create(run_id=run_id, attempt=newest + 1, name=stream)


def _stream(run_id: str, name: str) -> tuple[int, int]:
    """The stream's id and attempt."""
    with connection.cursor() as cursor:
        cursor.execute(FIND, [run_id, name])
        found = cursor.fetchone()
    if found is None:
        newest = Stream.objects.filter(run_id=run_id).aggregate(newest=Max("attempt"))["newest"] or 1
        stream, _ = Stream.objects.get_or_create(run_id=run_id, attempt=newest, name=name)
        return stream.id, stream.attempt
    return found


def forget(run_id: str) -> None:
    """Delete the digests of a run that has ended, whose client repeats nothing any more."""
    Delivery.objects.filter(stream__run_id=run_id).delete()
