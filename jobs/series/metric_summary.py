"""Summary row of each metric of a run (RunMetric), updated with every batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from django.db import connection

from jobs.series import codec
from jobs.series.codec import NO_STEP, Columns, Floats, Ints, Key
from jobs.series.summary import weighted_mean

SOURCE = "run"  # tables show one value per run; series of ranks and devices are for charts only

# Comparisons, because SQLite's min() of two and PostgreSQL's LEAST treat NULL differently; shares before sums, because
# a sum of huge values is an error on PostgreSQL.
COLUMNS = "run_id, key, last, last_step, last_at_us, low, high, mean, num_finite, count"
ROW = "(" + ", ".join(["%s"] * 10) + ")"
ON_CONFLICT = """
ON CONFLICT (key, run_id) DO UPDATE SET
  last = CASE WHEN {newer} THEN new.last ELSE old.last END,
  last_step = CASE WHEN {newer} THEN new.last_step ELSE old.last_step END,
  last_at_us = CASE WHEN {newer} THEN new.last_at_us ELSE old.last_at_us END,
  low = CASE WHEN old.low IS NULL OR new.low < old.low THEN COALESCE(new.low, old.low) ELSE old.low END,
  high = CASE WHEN old.high IS NULL OR new.high > old.high THEN COALESCE(new.high, old.high) ELSE old.high END,
  mean = CASE WHEN old.mean IS NULL OR new.mean IS NULL THEN COALESCE(new.mean, old.mean)
         ELSE {old_mean} * ((old.num_finite + 0.0) / (old.num_finite + new.num_finite))
              + {new_mean} * ((new.num_finite + 0.0) / (old.num_finite + new.num_finite)) END,
  num_finite = old.num_finite + new.num_finite,
  count = old.count + new.count
"""
NEWER = """(new.last_at_us > old.last_at_us OR (new.last_at_us = old.last_at_us
  AND COALESCE(new.last_step, -1) >= COALESCE(old.last_step, -1)))"""
# A product that is too small for a float is an error on PostgreSQL.
MEAN = "(CASE WHEN ABS({0}.mean) < 1e-290 THEN 0.0 ELSE {0}.mean END)"
MERGE = (
    ON_CONFLICT.format(newer=NEWER, old_mean=MEAN.format("old"), new_mean=MEAN.format("new"))
    .replace("new.", "excluded.")
    .replace("old.", "jobs_runmetric.")
)
ROWS_A_STATEMENT = 500


def add(run_id: str, groups: Mapping[Key, Columns]) -> None:
    """Add the points of a batch to the summaries, in the transaction that journals the batch."""
    rows = _rows(run_id, groups)
    with connection.cursor() as cursor:
        for first in range(0, len(rows), ROWS_A_STATEMENT):
            some = rows[first : first + ROWS_A_STATEMENT]
            sql = f"INSERT INTO jobs_runmetric ({COLUMNS}) VALUES " + ", ".join([ROW] * len(some)) + MERGE
            cursor.execute(sql, [value for row in some for value in row])


def _rows(run_id: str, groups: Mapping[Key, Columns]) -> list[tuple[Any, ...]]:
    """Sorted by key, so that two writers of a run cannot deadlock. All series at once: one at a time, a batch of ten
    took a quarter longer (2026-11-22)."""
    keys = sorted(key for key, columns in groups.items() if key[1] == SOURCE and len(columns.steps))
    if not keys:
        return []
    lengths = [len(groups[key].steps) for key in keys]
    ends: Ints = np.cumsum(lengths, dtype=np.int64) - 1
    starts: Ints = ends - np.array(lengths, dtype=np.int64) + 1
    steps, times_us, values = codec.concatenate([groups[key] for key in keys])
    newest = _newest(steps, times_us, starts, ends)
    finite = np.isfinite(values)
    least, most, counted = values, values, values
    if not (is_whole := finite.all()):
        least, most, counted = (np.where(finite, values, other) for other in (np.inf, -np.inf, 0.0))
    num_finite = lengths if is_whole else np.add.reduceat(finite, starts, dtype=np.int64).tolist()
    has_finite = [number > 0 for number in num_finite]
    columns = (
        [None if value != value else value for value in values[newest].tolist()],
        [None if step == NO_STEP else step for step in steps[newest].tolist()],
        times_us[newest].tolist(),
        _where(has_finite, np.minimum.reduceat(least, starts)),
        _where(has_finite, np.maximum.reduceat(most, starts)),
        _where(has_finite, weighted_mean(counted, finite, starts)),
        num_finite,
        lengths,
    )
    return [
        (run_id, metric, *figures)
        for (metric, _), figures in zip(keys, zip(*columns, strict=True), strict=True)
    ]


def _newest(steps: Ints, times_us: Ints, starts: Ints, ends: Ints) -> Ints:
    """The index of the newest point of each series: the last one unless points arrived out of order."""
    later, higher = np.diff(times_us), np.diff(steps)
    is_disordered = (later < 0) | ((later == 0) & (higher < 0))
    is_disordered[ends[:-1]] = False  # from one series to the next
    if not is_disordered.any():
        return ends
    return np.array(
        [
            first + np.lexsort((steps[first : last + 1], times_us[first : last + 1]))[-1]
            for first, last in zip(starts, ends, strict=True)
        ]
    )


def _where(is_there: list[bool], figures: Floats) -> list[float | None]:
    return [figure if there else None for there, figure in zip(is_there, figures.tolist(), strict=True)]
