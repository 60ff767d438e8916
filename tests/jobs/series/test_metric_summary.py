"""Metric summaries agree with every point that was written."""

from __future__ import annotations

import math

import pytest

from jobs import series
from jobs.models import RunMetric
from jobs.series import Point


def point(step, value, at=None, metric="loss", source="run"):
    return Point(metric, source, step, float(step if at is None else at), value)


def brief(key="loss"):
    return RunMetric.objects.get(key=key)


def test_newest_extremes_mean_and_count(run):
    series.append(run.id, 1, "s", 0, [point(1, 5.0), point(2, 1.0), point(3, 2.0)])
    series.append(run.id, 1, "s", 1, [point(4, 9.0), point(5, 3.0)])
    row = brief()
    assert (row.last, row.last_step, row.low, row.high) == (3.0, 5, 1.0, 9.0)
    assert (row.mean, row.num_finite, row.count) == (pytest.approx(4.0), 5, 5)


def test_a_batch_sent_again_is_counted_once(run):
    for _ in range(3):
        series.append(run.id, 1, "s", 0, [point(1, 5.0)])
    assert brief().count == 1


@pytest.mark.parametrize("first", [0, 1])
def test_the_newest_value_is_the_newest_in_whatever_order_batches_come(run, first):
    batches = [[point(1, 5.0)], [point(2, 4.0)]]
    for seq in (first, 1 - first):
        series.append(run.id, 1, "s", seq, batches[seq])
    assert (brief().last, brief().last_step) == (4.0, 2)


def test_at_one_time_the_higher_step_is_newer(run):
    series.append(run.id, 1, "s", 0, [point(7, 7.0, at=1), point(3, 3.0, at=1)])
    series.append(run.id, 1, "s", 1, [point(5, 5.0, at=1)])
    assert brief().last == 7.0


def test_a_later_attempt_that_begins_lower_is_newer(run):
    series.append(run.id, 1, "s", 0, [point(100, 1.0, at=100)])
    series.append(run.id, 2, "s", 0, [point(50, 2.0, at=200)])
    assert (brief().last, brief().last_step) == (2.0, 50)


def test_what_is_not_finite_is_counted_and_spoils_nothing(run):
    series.append(run.id, 1, "s", 0, [point(1, 2.0), point(2, math.nan)])
    row = brief()
    assert (row.last, row.low, row.high, row.num_finite, row.count) == (None, 2.0, 2.0, 1, 2)
    series.append(run.id, 1, "s", 1, [point(3, math.inf)])
    assert (brief().last, brief().high) == (math.inf, 2.0)
    series.append(run.id, 1, "s", 2, [point(4, math.nan, metric="only")])
    assert (brief("only").low, brief("only").high) == (None, None)
    series.append(run.id, 1, "s", 3, [point(5, 4.0, metric="only")])
    assert (brief("only").low, brief("only").high) == (4.0, 4.0)


def test_ranks_and_devices_have_no_row(run):
    series.append(run.id, 1, "s", 0, [point(1, 2.0, source="rank3"), point(1, 2.0, source="device:gpu0")])
    assert not RunMetric.objects.exists()


def test_huge_values_have_a_mean(run):
    for seq in range(3):
        series.append(run.id, 1, "s", seq, [point(seq * 2, 1.7e308), point(seq * 2 + 1, 1.7e308)])
    assert brief().mean == pytest.approx(1.7e308)
