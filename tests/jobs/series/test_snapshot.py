"""A concurrent reader never loses a point that it has seen."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from jobs import series
from jobs.models import Chunk
from jobs.series import grow, write
from tests.jobs.series.reference import training


@pytest.mark.django_db(transaction=True)
def test_a_reader_beside_folds_and_seals_sees_a_prefix_that_only_grows(run, monkeypatch):
    monkeypatch.setitem(write.FOLD_EVERY, connection.vendor, 2)
    monkeypatch.setattr(grow, "CHUNK", 32)
    batches = training(1200, per_batch=8)

    def write_all() -> None:
        try:
            for seq, points in enumerate(batches):
                series.append(run.id, 1, "rank0", seq, points)
            series.close(run.id, 1)
        finally:
            connection.close()

    seen, looks = 0, 0
    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(write_all)
        while not writing.done():
            drawn = series.read([run.id], ["loss"], points=10_000)
            steps = drawn[0].x.tolist() if drawn else []
            assert steps == list(range(1, len(steps) + 1))
            assert len(steps) >= seen
            seen, looks = len(steps), looks + 1
            named = series.names(run.id)
            assert not named or named[0].count >= seen
        writing.result()
    assert looks > 5 and Chunk.objects.count() > 10
    (line,) = series.read([run.id], ["loss"], points=10_000)
    assert line.count == 1200
