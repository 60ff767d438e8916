"""Writes down where waiting jobs stand in the queue: what has changed, in bulk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from django.db import connection, transaction

from jobs.epoch import Epoch
from jobs.models import Job, Pool
from jobs.scheduler.policy.decide import Standing
from jobs.states.jobs import JobState

SENTENCE_LIMIT = 300
SAME_START_S = 1.0  # a start that moves by less is not told anew

# Thousands of rows may change with one job that starts; bulk_update takes seconds for that. SQLite is fastest row by
# row in one prepared statement: joined with json_each, its planner walked all pairs (minutes for 10,000 jobs).
TELL_EACH = """
    UPDATE jobs_job SET waiting_reason = %s, waiting_for = %s, position = %s,
        expected_start_at = strftime('%%Y-%%m-%%d %%H:%%M:%%f', %s, 'unixepoch')
    WHERE id = %s AND state = 'queued'"""
TELL_ALL = """
    UPDATE jobs_job SET
        waiting_reason = news.sentence, waiting_for = news.waiting_for, position = news.position,
        expected_start_at = to_timestamp(news.start)
    FROM jsonb_to_recordset(%s::jsonb)
        AS news(sentence text, waiting_for jsonb, position int, start float8, id text)
    WHERE jobs_job.id = news.id AND jobs_job.state = 'queued'"""
Row = tuple[str, dict[str, Any], int, float | None, str]
COLUMNS = ("sentence", "waiting_for", "position", "start", "id")


def tell(pool: Pool, standings: Mapping[str, Standing]) -> int:
    """Returns how many jobs are told something new. A job that has left the queue meanwhile is passed by."""
    told = Job.objects.filter(pool=pool, state=JobState.QUEUED).order_by()
    news = [
        _row(job, standing)
        for job, sentence, position, start in told.values_list(
            "id", "waiting_reason", "position", Epoch("expected_start_at")
        )
        if (standing := standings.get(job)) is not None and _is_news(standing, sentence, position, start)
    ]
    if news:
        _write(news)
    return len(news)


def _is_news(standing: Standing, sentence: str, position: int | None, start: float | None) -> bool:
    if standing.position != position or standing.reason.sentence[:SENTENCE_LIMIT] != sentence:
        return True
    if start is None or standing.expected_start is None:
        return (start is None) != (standing.expected_start is None)
    return abs(start - standing.expected_start) >= SAME_START_S


def _row(job: str, standing: Standing) -> Row:
    start = standing.expected_start
    said: dict[str, Any] = {"code": standing.reason.code, "values": dict(standing.reason.values)}
    if start is None:
        said["unknown_start"] = standing.unknown_start
    return standing.reason.sentence[:SENTENCE_LIMIT], said, standing.position, start, job


def _write(news: Sequence[Row]) -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            rows = [dict(zip(COLUMNS, row, strict=True)) for row in news]
            cursor.execute(TELL_ALL, [_json(rows)])
            return
        with transaction.atomic():
            cursor.executemany(TELL_EACH, [(row[0], _json(row[1]), *row[2:]) for row in news])


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
