"""Series of a run: every metric and source with point count and newest value."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from django.db import connection

from jobs.models import RunMetric, StoredSeries
from jobs.series import codec
from jobs.series.codec import NO_STEP, Key

# attempt, stream, position, metric, source, count, last_step, last_at_us, last_value, data: folded series, then the
# journal. One statement, as in jobs.series.snapshot.
STATEMENT = """
SELECT s.attempt, s.id, CAST(-1 AS bigint), t.metric, t.source, t.count, t.last_step, t.last_at_us, t.last_value,
       CAST(NULL AS bytea)
FROM jobs_storedseries t JOIN jobs_stream s ON s.id = t.stream_id WHERE s.run_id = %s
UNION ALL
SELECT s.attempt, s.id, b.seq, '', '', 0, NULL, NULL, NULL, b.data
FROM jobs_batch b JOIN jobs_stream s ON s.id = b.stream_id WHERE s.run_id = %s AND b.seq > s.last_seq"""


@dataclass(frozen=True)
class SeriesName:
    """One series of a run over all attempts; `last_*` describe its newest point by time."""

    metric: str
    source: str
    count: int
    last_step: int | None
    last_at: float
    last_value: float


def names(run_id: str, is_wanted: Callable[[str], bool] | None = None) -> list[SeriesName]:
    """Sorted by metric and source. `is_wanted`: only metrics whose names it accepts."""
    newest: dict[Key, list[Any]] = {}  # count, last step, its time in microseconds, its value
    accepts = None if is_wanted is None else lambda metric, source: is_wanted(metric)
    for _, _, _, metric, source, count, step, at_us, value, data in _rows(run_id):
        if data is None:
            if is_wanted is None or is_wanted(metric):
                _add(newest, (metric, source), count, step, at_us, math.nan if value is None else value)
            continue
        for key, (steps, times_us, values) in codec.decode_batch(bytes(data), accepts):
            last = int(steps[-1])
            _add(
                newest,
                key,
                len(steps),
                None if last == NO_STEP else last,
                int(times_us[-1]),
                float(values[-1]),
            )
    return [
        SeriesName(*key, count, step, at_us / 1e6, value)
        for key, (count, step, at_us, value) in sorted(newest.items())
    ]


def metrics_of(run_ids: Collection[str]) -> set[str]:
    """Every metric that one of these runs has; for ranks and devices, only folded ones."""
    of_runs = RunMetric.objects.filter(run__in=run_ids).values_list("key", flat=True)
    folded = StoredSeries.objects.filter(stream__run__in=run_ids).values_list("metric", flat=True)
    return {*of_runs.distinct(), *folded.distinct()}


def last_steps(run_id: str) -> dict[int, int]:
    """Attempt -> the highest step that it has recorded, for the attempts with steps."""
    found: dict[int, int] = {}
    for attempt, _, _, _, _, _, step, _, _, data in _rows(run_id):
        steps = [step or 0] if data is None else [
            int(columns.steps.max()) for _, columns in codec.decode_batch(bytes(data))
        ]  # fmt: skip
        found[attempt] = max(found.get(attempt, 0), *steps, 0)
    return {attempt: step for attempt, step in found.items() if step > 0}


def _rows(run_id: str) -> list[tuple[Any, ...]]:
    """By attempt, stream and position."""
    with connection.cursor() as cursor:
        cursor.execute(STATEMENT, [run_id, run_id])
        return sorted(cursor.fetchall(), key=lambda row: row[:3])


def _add(
    newest: dict[Key, list[Any]], key: Key, count: int, step: int | None, at_us: int, value: float
) -> None:
    """Plain lists: 20,000 names in ten batches took three times as long with a dataclass for each (2026-12-01)."""
    if (known := newest.get(key)) is None:
        newest[key] = [count, step, at_us, value]
    elif at_us >= known[2]:
        newest[key] = [known[0] + count, step, at_us, value]
    else:
        known[0] += count
