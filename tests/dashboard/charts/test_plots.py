"""Axes of drawings."""

from __future__ import annotations

import pytest

from dashboard.charts import plots
from dashboard.charts.plots import CategoryAxis, Dot, PlotAxis


def axis(values: list[float], **options) -> PlotAxis:
    return plots.axis(values, str, is_x=True, **options)


def test_a_larger_value_is_further_along_the_axis():
    for options in ({}, {"base": 2}, {"base": None}):
        found = axis([1.0, 10.0, 100.0], **options)
        positions = [found.at(value) for value in (1.0, 10.0, 100.0)]
        assert positions == sorted(positions) and len(set(positions)) == 3


def test_a_logarithmic_axis_leaves_out_what_has_no_logarithm():
    found = axis([0.0, -1.0, float("nan"), float("inf"), 2.0, 8.0])
    assert (found.low, found.high) == (2.0, 8.0)


def test_one_value_has_room_on_both_sides_and_none_has_a_default_axis():
    assert (axis([4.0]).low, axis([4.0]).high) == (2.0, 8.0)
    assert (axis([4.0], base=None).low, axis([4.0], base=None).high) == (3.0, 5.0)
    assert axis([]).ticks()


@pytest.mark.parametrize("values", [[1.0, 2.0], [1e-6, 1e6], [3.0, 50.0]])
def test_ticks_are_within_the_axis_and_few(values: list[float]):
    found = axis(values)
    ticks = found.ticks()
    assert 1 <= len(ticks) <= found.num_ticks + 3
    assert all(min(found.start, found.end) <= tick.at <= max(found.start, found.end) for tick in ticks)


def test_categories_have_one_position_each_in_order():
    found = CategoryAxis(("b", "a"), 0.0, 100.0)
    assert (found.at("b"), found.at("a")) == (25.0, 75.0)
    assert [tick.text for tick in found.ticks()] == ["b", "a"]


def test_round_steps_are_multiples_of_one_two_or_five():
    assert plots.round_steps(0.0, 1.0, 5) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert plots.round_steps(3.0, 47.0, 5) == pytest.approx([10, 20, 30, 40])


def test_a_polyline_lists_its_points():
    assert plots.polyline([Dot(1.0, 2.0, "a"), Dot(3.5, 4.0, "b")]) == "1.0,2.0 3.5,4.0"
