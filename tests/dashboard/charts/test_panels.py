"""Panels of metrics: shared ones from the table, and one each for all other metrics."""

from __future__ import annotations

import pytest

from dashboard.charts.panels import SECTIONS, SHARED, own_panels
from dashboard.html.format import as_unit
from engine.telemetry.metrics import METRICS, Metric


@pytest.mark.parametrize(
    ("metric", "section", "floor", "ceiling"),
    [
        (Metric("new_share", "share", "device", "New", "A new one"), "Compute", 0, 1),
        (Metric("new_pct", "pct", "rank", "New", "A new one"), "Speed", 0, 100),
        (Metric("new_figure", "", "run", "New", "A new one"), "Learning", None, None),
        (Metric("new_bytes", "bytes", "device", "New", "A new one", "Memory"), "Memory", 0, None),
    ],
)
def test_a_metric_without_a_shared_panel_has_its_own(metric, section, floor, ceiling):
    found = {title: own_panels(title, [metric]) for title, _ in SHARED}
    [panel] = found.pop(section)
    assert (panel.title, panel.metrics, panel.floor, panel.ceiling) == ("New", (metric.name,), floor, ceiling)
    assert panel.is_optional and not any(found.values())


def test_a_metric_that_is_not_charted_has_no_panel():
    hidden = Metric("hidden_s", "s", "run", "Hidden", "Not drawn", is_charted=False)
    assert not any(own_panels(title, [hidden]) for title, _ in SHARED)


def test_no_metric_is_drawn_twice():
    drawn = [name for _, row in SECTIONS for panel in row for name in panel.metrics]
    assert len(drawn) == len(set(drawn))


def test_every_unit_of_the_table_is_written_with_its_sign():
    plain = {
        metric.unit
        for metric in METRICS
        if metric.unit and as_unit(1234.5, metric.unit) == as_unit(1234.5, "")
    }
    assert not plain - {"tokens"}
