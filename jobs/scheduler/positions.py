"""Bulk updates of the queue positions of waiting jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from django.db import connection, transaction

from jobs.epoch import Epoch
from jobs.models import Job, Pool
from jobs.scheduler.policy.decide import QueuePosition
from jobs.states.jobs import JobState

SENTENCE_LIMIT = 300
START_TOLERANCE_S = 1.0  # an expected start that moves by less is not written

# One started job may change thousands of rows, for which bulk_update takes seconds. SQLite is fastest row by row with
# one prepared statement: joined with json_each, its planner compared all pairs (minutes for 10,000 jobs).
UPDATE_ONE = """
    UPDATE jobs_job SET waiting_reason = %s, waiting_for = %s, position = %s,
        expected_start_at = strftime('%%Y-%%m-%%d %%H:%%M:%%f', %s, 'unixepoch')
    WHERE id = %s AND state = 'queued'"""
UPDATE_MANY = """
    UPDATE jobs_job SET
        waiting_reason = changes.sentence, waiting_for = changes.waiting_for, position = changes.position,
        expected_start_at = to_timestamp(changes.start)
    FROM jsonb_to_recordset(%s::jsonb)
        AS changes(sentence text, waiting_for jsonb, position int, start float8, id text)
    WHERE jobs_job.id = changes.id AND jobs_job.state = 'queued'"""
PositionRow = tuple[str, dict[str, Any], int, float | None, str]
COLUMNS = ("sentence", "waiting_for", "position", "start", "id")


def update_positions(pool: Pool, positions: Mapping[str, QueuePosition]) -> int:
    """Write the changed queue positions. Returns how many jobs changed. Jobs that have left the queue are skipped."""
    queued = Job.objects.filter(pool=pool, state=JobState.QUEUED).order_by()
    changes = [
        _build_row(job, queue_position)
        for job, sentence, position, start in queued.values_list(
            "id", "waiting_reason", "position", Epoch("expected_start_at")
        )
        if (queue_position := positions.get(job)) is not None
        and _has_changed(queue_position, sentence, position, start)
    ]
    if changes:
        _write(changes)
    return len(changes)


def _has_changed(
    queue_position: QueuePosition, sentence: str, position: int | None, start: float | None
) -> bool:
    if queue_position.position != position or queue_position.reason.sentence[:SENTENCE_LIMIT] != sentence:
        return True
    if start is None or queue_position.expected_start is None:
        return (start is None) != (queue_position.expected_start is None)
    return abs(start - queue_position.expected_start) >= START_TOLERANCE_S


def _build_row(job: str, queue_position: QueuePosition) -> PositionRow:
    start = queue_position.expected_start
    waiting_for: dict[str, Any] = {
        "code": queue_position.reason.code,
        "values": dict(queue_position.reason.values),
    }
    if start is None:
        waiting_for["unknown_start"] = queue_position.unknown_start
    return queue_position.reason.sentence[:SENTENCE_LIMIT], waiting_for, queue_position.position, start, job


def _write(changes: Sequence[PositionRow]) -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            rows = [dict(zip(COLUMNS, row, strict=True)) for row in changes]
            cursor.execute(UPDATE_MANY, [_json(rows)])
            return
        with transaction.atomic():
            cursor.executemany(UPDATE_ONE, [(row[0], _json(row[1]), *row[2:]) for row in changes])


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
