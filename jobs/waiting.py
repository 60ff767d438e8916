"""Writes down where waiting jobs stand in the queue: what has changed, in one statement."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from django.db import connection

from jobs.models import Job, Pool
from jobs.scheduling.decide import Standing
from jobs.states import JobState

SENTENCE_LIMIT = 300
SAME_START_S = 1.0  # a start that moves by less is not told anew

# Thousands of rows may change with one job that starts: bulk_update takes seconds for that.
TELL = {
    "sqlite": """
        UPDATE jobs_job SET
            waiting_reason = json_extract(news.value, '$.sentence'),
            waiting_for = json_extract(news.value, '$.waiting_for'),
            position = json_extract(news.value, '$.position'),
            expected_start_at = json_extract(news.value, '$.start')
        FROM json_each(%s) AS news
        WHERE jobs_job.id = json_extract(news.value, '$.id') AND jobs_job.state = %s""",
    "postgresql": """
        UPDATE jobs_job SET
            waiting_reason = news.sentence, waiting_for = news.waiting_for,
            position = news.position, expected_start_at = (news.start || '+00')::timestamptz
        FROM jsonb_to_recordset(%s::jsonb)
            AS news(id text, sentence text, waiting_for jsonb, position int, start text)
        WHERE jobs_job.id = news.id AND jobs_job.state = %s""",
}


def tell(pool: Pool, standings: Mapping[str, Standing]) -> int:
    """Returns how many jobs are told something new. A job that has left the queue meanwhile is passed by."""
    told = Job.objects.filter(pool=pool, state=JobState.QUEUED).order_by()
    news = [
        _row(job, standing)
        for job, sentence, position, start in told.values_list(
            "id", "waiting_reason", "position", "expected_start_at"
        )
        if (standing := standings.get(job)) is not None and _is_news(standing, sentence, position, start)
    ]
    if news:
        _write(news)
    return len(news)


def _is_news(standing: Standing, sentence: str, position: int | None, start: datetime | None) -> bool:
    if standing.position != position or standing.reason.sentence[:SENTENCE_LIMIT] != sentence:
        return True
    if start is None or standing.expected_start is None:
        return (start is None) != (standing.expected_start is None)
    return abs(start.timestamp() - standing.expected_start) >= SAME_START_S


def _row(job: str, standing: Standing) -> dict[str, Any]:
    start = standing.expected_start
    said: dict[str, Any] = {"code": standing.reason.code, "values": dict(standing.reason.values)}
    if start is None:
        said["unknown_start"] = standing.unknown_start
    return {
        "id": job,
        "sentence": standing.reason.sentence[:SENTENCE_LIMIT],
        "waiting_for": said,
        "position": standing.position,
        "start": None if start is None else str(datetime.fromtimestamp(start, UTC).replace(tzinfo=None)),
    }


def _write(news: Iterable[Mapping[str, Any]]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(TELL[connection.vendor], [json.dumps(list(news)), JobState.QUEUED])
