"""A run's metrics in short (RunMetric): newest value, extremes, mean and count, for tables that sort and filter."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from django.db import connection

from jobs.series.codec import NO_STEP, Columns, Key

SOURCE = "run"  # a table has one value a run; ranks and devices are for charts

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
         ELSE old.mean * ((old.num_finite + 0.0) / (old.num_finite + new.num_finite))
              + new.mean * ((new.num_finite + 0.0) / (old.num_finite + new.num_finite)) END,
  num_finite = old.num_finite + new.num_finite,
  count = old.count + new.count
"""
NEWER = """(new.last_at_us > old.last_at_us OR (new.last_at_us = old.last_at_us
  AND COALESCE(new.last_step, -1) >= COALESCE(old.last_step, -1)))"""
MERGE = ON_CONFLICT.format(newer=NEWER).replace("new.", "excluded.").replace("old.", "jobs_runmetric.")
ROWS_A_STATEMENT = 500


def add(run_id: str, groups: Mapping[Key, Columns]) -> None:
    """Count points that have just become part of the journal; in the transaction that put them there."""
    rows = list(_rows(run_id, groups))
    with connection.cursor() as cursor:
        for first in range(0, len(rows), ROWS_A_STATEMENT):
            some = rows[first : first + ROWS_A_STATEMENT]
            sql = f"INSERT INTO jobs_runmetric ({COLUMNS}) VALUES " + ", ".join([ROW] * len(some)) + MERGE
            cursor.execute(sql, [value for row in some for value in row])


def _rows(run_id: str, groups: Mapping[Key, Columns]) -> Iterator[tuple[Any, ...]]:
    """In the order of their keys, so that two writers of a run never wait for each other."""
    for (metric, source), columns in sorted(groups.items(), key=lambda pair: pair[0]):
        if source != SOURCE or not len(columns.steps):
            continue
        newest = np.lexsort((columns.steps, columns.times_us))[-1]
        step, value = int(columns.steps[newest]), float(columns.values[newest])
        finite = columns.values[np.isfinite(columns.values)]
        yield (
            run_id,
            metric,
            None if math.isnan(value) else value,
            None if step == NO_STEP else step,
            int(columns.times_us[newest]),
            float(finite.min()) if len(finite) else None,
            float(finite.max()) if len(finite) else None,
            float((finite / len(finite)).sum()) if len(finite) else None,
            len(finite),
            len(columns.values),
        )
