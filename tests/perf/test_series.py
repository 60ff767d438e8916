"""Series store against a table with one row per point, in the same database and process.

CPU time is compared, since wall time on a shared machine cannot be.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.db import connection, models, transaction

from jobs import series
from jobs.models import Run, Team
from jobs.series import Point, codec, write
from jobs.series.codec import Columns

NUM_SERIES = 20
INGEST_BATCHES = 300  # of 20 series x 50 points
READ_STEPS = 100_000
BUCKETS = 1000
BULK_TARGET = 1_000_000
INGEST_TARGET, READ_TARGET = (
    5.0,
    5.0,
)  # how many times faster than a row per point; measured 9 and 65 on 2026-11-22

pytestmark = [pytest.mark.perf, pytest.mark.timeout(900)]


@pytest.fixture
def run(db) -> Run:
    team = Team.objects.create(name="blue", slug="blue")
    return Run.objects.create(team=team, owner=User.objects.create_user("owner"), name="run")


class NaivePoint(models.Model):
    """The obvious table, with one row per point."""

    series = models.IntegerField()
    step = models.BigIntegerField()
    at = models.FloatField()
    value = models.FloatField(null=True)

    class Meta:
        app_label = "perf"


@pytest.fixture
def naive(db) -> type[NaivePoint]:
    if connection.vendor != "sqlite":
        pytest.skip("CPU time of another process is not seen from here")
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE perf_naivepoint (id INTEGER PRIMARY KEY AUTOINCREMENT, series INTEGER NOT NULL, "
            "step BIGINT NOT NULL, at REAL NOT NULL, value REAL, UNIQUE (series, step))"
        )
    return NaivePoint


def cpu_s(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def batch(number: int, values: np.ndarray) -> list[Point]:
    first = number * 50
    return [
        Point(f"metric{one}", "run", first + k, 1e9 + first + k, float(values[one, k]))
        for one in range(NUM_SERIES)
        for k in range(50)
    ]


def test_ingest_per_cpu_second(run, naive, capsys):
    dice = np.random.default_rng(0)
    batches = [batch(number, dice.normal(size=(NUM_SERIES, 50))) for number in range(INGEST_BATCHES)]
    num_points = INGEST_BATCHES * NUM_SERIES * 50

    def ours() -> None:
        for seq, points in enumerate(batches):
            with transaction.atomic():
                series.append(run.id, 1, "rank0", seq, points)
        series.close(run.id, 1)

    def rows() -> None:
        for points in batches:
            with transaction.atomic():
                naive.objects.bulk_create(
                    [naive(series=int(p.metric[6:]), step=p.step, at=p.at, value=p.value) for p in points],
                    ignore_conflicts=True,
                )

    fast, slow = cpu_s(ours), cpu_s(rows)
    with capsys.disabled():
        print(
            f"\ningest: {num_points / fast:,.0f} points per CPU second, {num_points / slow:,.0f} as rows: "
            f"{slow / fast:.1f} times"
        )
    assert slow / fast > INGEST_TARGET


def test_bulk_ingest_per_cpu_second(run, capsys):
    """Ingest of a spool as an agent does it, in chunks of 5,000 points, against the same points in columns."""
    dice = np.random.default_rng(0)
    pieces = [
        [p for n in range(5) for p in batch(5 * number + n, dice.normal(size=(NUM_SERIES, 50)))]
        for number in range(100)
    ]
    columns = [codec.columns_by_key(points) for points in pieces]
    num_points = sum(map(len, pieces))
    as_points = cpu_s(
        lambda: [series.append(run.id, 1, "points", seq, some) for seq, some in enumerate(pieces)]
    )
    as_columns = cpu_s(
        lambda: [series.append_columns(run.id, 1, "columns", seq, some) for seq, some in enumerate(columns)]
    )
    with capsys.disabled():
        print(
            f"\nbulk: {num_points / as_points:,.0f} points per CPU second, {num_points / as_columns:,.0f} in columns; "
            f"load {os.getloadavg()[0]:.1f}"
        )
    assert num_points / as_points > BULK_TARGET


def test_reading_twenty_long_series_for_a_chart(run, naive, capsys):
    dice = np.random.default_rng(0)
    steps = np.arange(1, READ_STEPS + 1)
    values = [dice.normal(size=READ_STEPS).astype(np.float32).astype(np.float64) for _ in range(NUM_SERIES)]
    _fill(run, steps, values)
    with connection.cursor() as cursor:
        for number, column in enumerate(values):
            rows = zip(
                [number] * READ_STEPS, steps.tolist(), (1e9 + steps).tolist(), column.tolist(), strict=True
            )
            cursor.executemany(
                "INSERT INTO perf_naivepoint (series, step, at, value) VALUES (%s, %s, %s, %s)", list(rows)
            )
    names = [f"metric{number}" for number in range(NUM_SERIES)]

    def ours() -> list[series.Series]:
        return series.read([run.id], names, points=BUCKETS)

    def rows_grouped() -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT series, (step - 1) / %s, MIN(step), MIN(value), MAX(value), AVG(value), COUNT(*) "
                "FROM perf_naivepoint GROUP BY 1, 2",
                [READ_STEPS // BUCKETS],
            )
            assert len(cursor.fetchall()) == NUM_SERIES * BUCKETS

    lines = ours()
    for line, column in zip(lines, values, strict=True):
        assert line.min.min() == column.min() and line.max.max() == column.max()
        assert line.count == READ_STEPS
    rows_grouped()
    fast = min(cpu_s(ours) for _ in range(5))
    slow = min(cpu_s(rows_grouped) for _ in range(2))
    zoom = min(
        cpu_s(lambda: series.read([run.id], names, points=BUCKETS, lo=50_000, hi=50_999)) for _ in range(5)
    )
    for seq in range(63):
        series.append(
            run.id, 2, "rank0", seq, batch(READ_STEPS // 50 + 1 + seq, dice.normal(size=(NUM_SERIES, 50)))
        )
    live = min(cpu_s(ours) for _ in range(5))
    with capsys.disabled():
        print(
            f"\nread {NUM_SERIES} x {READ_STEPS:,} to {BUCKETS:,} buckets: {fast * 1e3:.0f} ms CPU, "
            f"{slow * 1e3:.0f} as rows: {slow / fast:.0f} times; zoom to 1,000 raw points: {zoom * 1e3:.0f} ms; "
            f"with a journal of 63 batches: {live * 1e3:.0f} ms"
        )
    assert slow / fast > READ_TARGET


def _fill(run: Run, steps: np.ndarray, values: list[np.ndarray]) -> None:
    """Store points as an ended attempt leaves them: sealed chunks and a short tail."""
    size = 5_000
    for seq, start in enumerate(range(0, READ_STEPS, size)):
        part = slice(start, start + size)
        groups = {
            (f"metric{number}", "run"): Columns(steps[part], (10**15 + steps[part] * 10**6), column[part])
            for number, column in enumerate(values)
        }
        data = codec.encode_batch(groups)
        stream_id, _ = write._stream(run.id, 1, "rank0")
        write.Batch.objects.create(
            stream_id=stream_id, seq=seq, first_step=int(steps[start]), first_at_us=10**15, data=data
        )
    series.close(run.id, 1)
