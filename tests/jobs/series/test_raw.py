"""Raw reading: every point as written, in order, wherever it is stored."""

from __future__ import annotations

import math

from django.db import connection

from jobs import series
from jobs.models import Batch, Chunk, Segment
from jobs.series import Point, grow, write


def test_points_in_chunks_segments_and_journal_come_back_in_order(run, monkeypatch):
    monkeypatch.setitem(write.FOLD_EVERY, connection.vendor, 4)
    monkeypatch.setattr(grow, "CHUNK", 40)
    points = [Point("loss", "run", step, float(step), 1.0 / step) for step in range(1, 100)]
    for seq in range(33):
        series.append(run.id, 1, "s", seq, points[seq * 3 : seq * 3 + 3])
    assert Chunk.objects.exists() and Segment.objects.exists() and Batch.objects.exists()
    (found,) = series.raw(run.id)
    assert (found.metric, found.source, found.attempt) == ("loss", "run", 1)
    assert found.columns.steps.tolist() == list(range(1, 100))
    assert found.columns.values.tolist() == [point.value for point in points]


def test_what_a_later_attempt_made_again_is_still_there(run):
    series.append(run.id, 1, "s", 0, [Point("loss", "run", step, step, 1.0) for step in (1, 2, 3)])
    series.append(run.id, 2, "s", 0, [Point("loss", "run", step, step + 10, 2.0) for step in (2, 3)])
    assert [(one.attempt, one.columns.steps.tolist()) for one in series.raw(run.id)] == [
        (1, [1, 2, 3]),
        (2, [2, 3]),
    ]


def test_values_that_are_not_finite_and_points_without_a_step_come_back(run):
    series.append(
        run.id,
        1,
        "s",
        0,
        [Point("loss", "run", None, 1.5, math.nan), Point("loss", "run", 7, 2.5, -math.inf)],
    )
    (found,) = series.raw(run.id)
    assert found.columns.steps.tolist() == [write.NO_STEP, 7]
    assert math.isnan(found.columns.values[0]) and found.columns.values[1] == -math.inf


def test_only_the_metrics_asked_for_and_more_than_are_read_at_once(run):
    names = [f"m{i:03}" for i in range(50)]
    series.append(run.id, 1, "s", 0, [Point(name, "run", 1, 1.0, 1.0) for name in names])
    assert [one.metric for one in series.raw(run.id)] == names
    assert [one.metric for one in series.raw(run.id, ["m007", "unknown"])] == ["m007"]


def test_a_run_without_points_has_none(run):
    assert list(series.raw(run.id)) == []
