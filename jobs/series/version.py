"""Version of the stored series of some runs, to validate cached answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection

# Batches of each stream, folded or not (a late one may fill a gap), and the reasons for absent metrics
STREAMS = """
SELECT s.id, s.last_seq, COUNT(b.seq), MAX(b.seq) FROM jobs_stream s LEFT JOIN jobs_batch b ON b.stream_id = s.id
WHERE s.run_id IN ({marks}) GROUP BY s.id, s.last_seq ORDER BY s.id"""
MISSING = "SELECT id, CAST(missing AS text) FROM jobs_run WHERE id IN ({marks}) ORDER BY id"


def series_version(run_ids: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return a value that changes whenever the series of these runs, or their reasons for absence, change."""
    marks = ", ".join(["%s"] * len(run_ids))
    with connection.cursor() as cursor:
        cursor.execute(STREAMS.format(marks=marks), list(run_ids))
        streams = cursor.fetchall()
        cursor.execute(MISSING.format(marks=marks), list(run_ids))
        return [*streams, *cursor.fetchall()]
