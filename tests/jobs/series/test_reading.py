"""Reading: equal to the naive reference, with spikes, zoom and attempts."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from jobs import series
from jobs.series import Point
from tests.jobs.series.reference import Stored, deliver, training

pytestmark = pytest.mark.slow


def fill(run, attempt, batches, stream="rank0", close=False):
    deliver(run.id, [(attempt, stream, seq, points) for seq, points in enumerate(batches)])
    if close:
        series.close(run.id, attempt)
    return [(attempt, point) for batch in batches for point in batch]


@pytest.mark.parametrize("is_closed", [False, True])
@pytest.mark.parametrize("num_steps", [1, 7, 900, 12_345])
def test_raw_reading_gives_back_every_point_exactly(run, num_steps, is_closed):
    stored = Stored(fill(run, 1, training(num_steps), close=is_closed))
    (line,) = series.read([run.id], ["loss"], points=10_000_000)
    expected = stored.line("loss", "run")
    assert line.is_raw
    assert line.x.tolist() == [point.step for point in expected]
    assert line.mean.tolist() == line.min.tolist() == line.max.tolist() == [point.value for point in expected]
    assert line.count == num_steps


@pytest.mark.parametrize("points", [1, 10, 100, 1000])
def test_buckets_hold_the_true_minimum_maximum_mean_and_count(run, points):
    """At 10 and 1 buckets the sealed chunks are read from their summaries, at 1,000 from their points."""
    stored = Stored(fill(run, 1, training(30_000, per_batch=100)))
    (line,) = series.read([run.id], ["loss"], points=points)
    expected = stored.line("loss", "run")
    assert not line.is_raw
    assert len(line.x) <= points
    assert line.counts.sum() == line.count == len(expected)
    start = 0
    for count, low, high, mean in zip(line.counts, line.min, line.max, line.mean, strict=True):
        values = [point.value for point in expected[start : start + count]]
        assert (low, high) == (min(values), max(values))
        assert mean == pytest.approx(math.fsum(values) / len(values), rel=1e-12)
        start += count


def test_a_spike_of_one_step_survives_every_zoom(run):
    batches = training(50_000, per_batch=500)
    spike = batches[41][250]
    batches[41][250] = spike._replace(value=1e6)
    fill(run, 1, batches)
    for points in (1, 3, 10, 100, 1000, 5000):
        (line,) = series.read([run.id], ["loss"], points=points)
        assert line.max.max() == 1e6
        width = 50_000 / points
        assert abs(line.x[np.argmax(line.max)] - spike.step) <= width + 64


def test_zooming_in_reaches_the_points_themselves(run):
    stored = Stored(fill(run, 1, training(100_000, per_batch=1000)))
    (line,) = series.read([run.id], ["loss"], points=500, lo=40_010, hi=40_400)
    expected = stored.line("loss", "run", lo=40_010, hi=40_400)
    assert line.is_raw
    assert line.x.tolist() == [point.step for point in expected] == list(range(40_010, 40_401))
    assert line.mean.tolist() == [point.value for point in expected]


def test_the_ends_of_a_wide_zoom_are_exact(run):
    stored = Stored(fill(run, 1, training(60_000, per_batch=1000)))
    (line,) = series.read([run.id], ["loss"], points=10, lo=1_001, hi=58_999)
    expected = stored.line("loss", "run", lo=1_001, hi=58_999)
    assert line.count == len(expected)
    assert line.x[0] == 1_001
    assert line.mean @ line.counts == pytest.approx(math.fsum(point.value for point in expected))


def test_random_attempts_with_replayed_steps_equal_the_reference(run, make_run):
    dice = random.Random(7)
    for trial in range(12):
        target = make_run(f"trial {trial}")
        rows, first = [], 1
        for attempt in range(1, dice.randint(2, 4)):
            num_steps = dice.choice([5, 300, 5000, 9000])
            # Not thousands of batches: within the one transaction of a test PostgreSQL keeps every version of a row.
            per_batch = dice.choice([1 if num_steps < 1000 else 20, 50, 500])
            batches = training(num_steps, first=first, per_batch=per_batch, seed=trial)
            rows += fill(target, attempt, batches, close=dice.random() < 0.5)
            first = dice.randint(1, first + num_steps)
        stored = Stored(rows)
        expected = stored.line("loss", "run")
        for points in (20, 100_000):
            (line,) = series.read([target.id], ["loss"], points=points)
            assert line.count == len(expected)
            assert line.superseded == len(rows) - len(expected)
            assert line.max.max() == max(point.value for point in expected)
            assert line.min.min() == min(point.value for point in expected)
        assert line.is_raw
        assert line.mean.tolist() == [point.value for point in expected]


def test_a_later_attempt_replaces_the_steps_that_it_repeats_and_counts_them(run):
    fill(run, 1, [[Point("loss", "run", step, 100.0 + step, 1.0) for step in range(1, 151)]])
    fill(run, 2, [[Point("loss", "run", step, 1000.0 + step, 2.0) for step in range(101, 121)]])
    (line,) = series.read([run.id], ["loss"])
    assert line.x.tolist() == list(range(1, 121))
    assert line.mean.tolist() == [1.0] * 100 + [2.0] * 20
    assert (line.superseded, line.borders, line.border_attempts) == (50, [101], [2])
    (in_time,) = series.read([run.id], ["loss"], x="time")
    assert in_time.borders == [1101.0]
    assert in_time.count == 120


def test_what_was_measured_rarely_is_superseded_by_the_attempt_not_by_its_own_first_value(run):
    first = [Point("validation_loss", "run", step, step, 1.0) for step in (50, 100, 125)]
    fill(run, 1, [first + [Point("loss", "run", step, step, 1.0) for step in range(1, 130)]])
    again = [Point("validation_loss", "run", 150, 1150, 2.0)]
    fill(run, 2, [again + [Point("loss", "run", step, 1000 + step, 2.0) for step in range(101, 160)]])
    (line,) = series.read([run.id], ["validation_loss"])
    assert line.x.tolist() == [50, 100, 150]


def test_an_attempt_that_never_made_a_step_takes_nothing_away(run):
    fill(run, 1, [[Point("loss", "run", step, step, 1.0) for step in range(1, 11)]])
    fill(run, 2, [[Point("power_w", "device:0", None, 1000.0, 60.0)]])
    (line,) = series.read([run.id], ["loss"])
    assert (line.count, line.superseded, line.borders) == (10, 0, [])


def test_readings_without_steps_are_drawn_by_time_only(run):
    fill(run, 1, [[Point("power_w", "device:0", None, 1000.5 + tick, 60.0 + tick) for tick in range(5)]])
    assert series.read([run.id], ["power_w"], x="step") == []
    (line,) = series.read([run.id], ["power_w"], x="time")
    assert line.x.tolist() == [1000.5, 1001.5, 1002.5, 1003.5, 1004.5]
    assert line.mean.tolist() == [60.0, 61.0, 62.0, 63.0, 64.0]


def test_a_final_value_without_a_step_does_not_disturb_the_steps(run):
    points = [Point("loss", "run", step, step, 1.0) for step in range(1, 5001)]
    fill(run, 1, [[*points, Point("loss", "run", None, 6000.0, 0.5)]], close=True)
    (line,) = series.read([run.id], ["loss"], points=10_000)
    assert line.count == 5000
    (in_time,) = series.read([run.id], ["loss"], x="time", points=10_000)
    assert in_time.mean[-1] == 0.5


def test_time_is_kept_to_the_millisecond_exactly(run):
    times = [1_763_800_000.001 + tick / 1000 for tick in range(100)]
    times = [round(at, 3) for at in times]
    fill(run, 1, [[Point("power_w", "device:0", None, at, 1.0) for at in times]])
    (line,) = series.read([run.id], ["power_w"], x="time")
    assert line.x.tolist() == times


def test_relative_time_counts_from_the_first_point_of_the_run(run):
    fill(run, 1, [[Point("power_w", "device:0", None, 100.0, 1.0), Point("loss", "run", 1, 102.5, 1.0)]])
    (line,) = series.read([run.id], ["loss"], x="relative")
    assert line.x.tolist() == [2.5]
    assert series.read([run.id], ["loss"], x="relative", lo=0, hi=2.4) == []


def test_tokens_are_joined_by_step_and_can_be_zoomed(run):
    points = [
        Point(metric, "run", step, float(step), value)
        for step in range(1, 9001)
        for metric, value in (("loss", 1.0 / step), ("tokens", 512.0 * step))
    ]
    fill(run, 1, [points[start : start + 1000] for start in range(0, len(points), 1000)])
    (line,) = series.read([run.id], ["loss"], x="tokens", points=10_000)
    assert line.x.tolist() == [512.0 * step for step in range(1, 9001)]
    (zoomed,) = series.read([run.id], ["loss"], x="tokens", lo=512.0 * 11, hi=512.0 * 20, sources=["run"])
    assert zoomed.x.tolist() == [512.0 * step for step in range(11, 21)]


def test_a_run_without_tokens_has_no_line_on_an_axis_of_tokens(run):
    fill(run, 1, training(10))
    assert series.read([run.id], ["loss"], x="tokens") == []


def test_values_that_are_not_finite_are_marked_and_leave_the_others_alone(run):
    kinds = {3: math.nan, 5: math.inf, 6: -math.inf}
    fill(run, 1, [[Point("loss", "run", step, step, kinds.get(step, 2.0)) for step in range(1, 9)]])
    (line,) = series.read([run.id], ["loss"])
    assert line.non_finite == [(3, "NaN"), (5, "Infinity"), (6, "-Infinity")]
    assert np.isnan(line.mean[[2, 4, 5]]).all()
    assert (line.mean[[0, 1, 3, 6, 7]] == 2.0).all()


@pytest.mark.parametrize("points", [5, 100])
def test_buckets_mark_values_that_are_not_finite_and_take_extremes_of_the_rest(run, points):
    """5 buckets read summaries, 100 read points."""
    odd = {10_000: math.nan, 20_000: math.inf}
    batches = [
        [Point("loss", "run", step, step, odd.get(step, 1.0)) for step in range(first, first + 1000)]
        for first in range(1, 25_001, 1000)
    ]
    fill(run, 1, batches, close=True)
    (line,) = series.read([run.id], ["loss"], points=points)
    assert [kind for _, kind in line.non_finite] == ["NaN", "Infinity"]
    assert (line.min == 1.0).all() and (line.max == 1.0).all()
    assert line.count == 25_000


def test_huge_values_do_not_overflow_the_mean(run):
    fill(run, 1, [[Point("loss", "run", step, step, 1.7e308) for step in range(1, 5001)]], close=True)
    (line,) = series.read([run.id], ["loss"], points=3)
    assert line.mean.tolist() == pytest.approx([1.7e308] * 3)


def test_shuffled_steps_are_drawn_in_order(run):
    points = [Point("loss", "run", step, float(step), float(step)) for step in range(1, 12_001)]
    random.Random(3).shuffle(points)
    fill(run, 1, [points[start : start + 500] for start in range(0, len(points), 500)], close=True)
    (line,) = series.read([run.id], ["loss"], points=20_000)
    assert line.mean.tolist() == [float(step) for step in range(1, 12_001)]
    (zoomed,) = series.read([run.id], ["loss"], lo=100, hi=199)
    assert zoomed.x.tolist() == list(range(100, 200))


def test_runs_metrics_and_sources_come_in_the_order_asked_for(run, make_run):
    other = make_run("other")
    for one in (run, other):
        points = [Point(metric, f"rank{n}", 1, 1.0, 1.0) for metric in ("a", "b") for n in (10, 2)]
        fill(one, 1, [points])
    drawn = series.read([other.id, run.id], ["b", "a"])
    assert [(line.run, line.metric, line.source) for line in drawn] == [
        (one.id, metric, source)
        for one in (other, run)
        for metric in ("b", "a")
        for source in ("rank2", "rank10")
    ]
    (only,) = series.read([run.id], ["a"], sources=["rank2"])
    assert only.source == "rank2"


def test_compared_runs_share_one_grid(run, make_run):
    other = make_run("other")
    fill(run, 1, training(20_000, per_batch=1000))
    fill(other, 1, training(20_000, per_batch=1000, seed=1))
    one, two = series.read([run.id, other.id], ["loss"], points=100)
    assert one.x.tolist() == two.x.tolist()


def test_nothing_asked_for_is_nothing_read(run):
    assert series.read([], ["loss"]) == series.read([run.id], []) == series.read([run.id], ["loss"]) == []


def test_names_count_points_and_know_the_newest_value(run):
    fill(run, 1, training(1000, metrics=("loss", "grad_norm")))
    fill(run, 1, [[Point("power_w", "device:0", None, 5.0, math.nan)]], stream="sampler")
    found = {(name.metric, name.source): name for name in series.names(run.id)}
    last = training(1000, metrics=("loss", "grad_norm"))[-1]
    assert list(found) == [("grad_norm", "run"), ("loss", "run"), ("power_w", "device:0")]
    assert found["loss", "run"].count == 1000
    assert found["loss", "run"].last_value == last[-2].value
    assert found["loss", "run"].last_step == 1000
    assert math.isnan(found["power_w", "device:0"].last_value)
    assert found["power_w", "device:0"].last_step is None
