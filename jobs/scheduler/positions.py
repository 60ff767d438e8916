"""Bulk updates of the queue positions of waiting jobs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from django.db import connection, transaction

from jobs.epoch import Epoch
from jobs.models import Job, Pool
from jobs.scheduler import position_ranges
from jobs.scheduler.policy.decide import QueuePosition
from jobs.states.jobs import JobState

SENTENCE_LIMIT = 300

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
    """Write the queue positions that changed for people, at most WRITES of them behind the exact ones. Returns how many
    jobs were written. Jobs that have left the queue are skipped."""
    queued = Job.objects.filter(pool=pool, state=JobState.QUEUED).order_by()
    columns = ("id", "waiting_reason", "position", Epoch("expected_start_at"))
    now = time.time()
    changes = [
        row
        for written in queued.values_list(*columns)
        if (exact := positions.get(written[0])) is not None and (row := _changed_row(exact, written, now))
    ]
    chosen = position_ranges.first_writes([row[2] for row in changes])
    changes = [row for index, row in enumerate(changes) if index in chosen]
    if changes:
        _write(changes)
    return len(changes)


def _changed_row(
    exact: QueuePosition, written: tuple[str, str, int | None, float | None], now: float
) -> PositionRow | None:
    """The row to write; None if what people see is the same."""
    job, written_sentence, written_position, written_start = written
    shown = position_ranges.as_shown(exact)
    sentence = shown.reason.sentence[:SENTENCE_LIMIT]
    start = position_ranges.start_to_write(exact.expected_start, written_start, exact.position, now)
    if (sentence, shown.position, start) == (written_sentence, written_position, written_start):
        return None
    waiting_for: dict[str, Any] = {"code": shown.reason.code, "values": dict(shown.reason.values)}
    if found := position_ranges.range_of(exact.position):
        waiting_for["range"] = found
    if start is None:
        waiting_for["unknown_start"] = shown.unknown_start
    return sentence, waiting_for, shown.position, start, job


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
