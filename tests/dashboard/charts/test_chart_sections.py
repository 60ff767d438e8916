"""Sections of charts."""

from __future__ import annotations

from dashboard.charts.chart_sections import MAX_PANELS, build_sections, limit_panels, select_sections
from dashboard.charts.panels import Panel
from fourwalls.host_sampler import HOST_METRICS as HOST_SAMPLED


def test_chosen_metrics_are_one_section_in_their_order():
    [(title, panels)] = select_sections(["own/metric", "loss"], ["loss", "step_s"], may_grow=False)
    assert title == "Chosen"
    assert [panel.metrics for panel in panels] == [("own/metric",), ("loss",)]


def test_without_a_choice_all_recorded_metrics_are_in_their_sections():
    found = dict(select_sections([], ["loss", "train/own", "power_w"], may_grow=False))
    assert {title: [panel.key for panel in row] for title, row in found.items()} == {
        "Learning": ["loss"], "Power": ["power_w"], "train": ["train/own"],
    }  # fmt: skip


def test_panels_of_devices_are_hidden_until_they_are_measured_while_a_run_is_live():
    found = dict(select_sections([], ["loss"], may_grow=True))
    assert all(panel.is_optional and panel.scope == "device" for panel in found["Power"])
    assert "Power" not in dict(select_sections([], ["loss"], may_grow=False))


def test_panels_beyond_the_limit_are_counted():
    many = [Panel(str(number), (f"layer_{number}/norm",)) for number in range(MAX_PANELS + 2)]
    shown, dropped = limit_panels(
        [("first", many[:5]), ("second", many[5:]), ("third", [Panel("z", ("z/loss",))])]
    )
    assert (sum(len(row) for _, row in shown), dropped) == (MAX_PANELS, 3)
    assert shown[-1][0] == "third", "the loss is drawn, wherever it stands"


def test_metrics_of_a_script_s_machine_have_titles_and_sections():
    names = [name for name in HOST_SAMPLED if name != "memory_used_bytes"]  # that one is a row of the table
    sections = build_sections(names, may_grow=False)
    found = {panel.key: (title, panel.title) for title, row in sections for panel in row}
    assert found == {
        "cpu_pct": ("Compute", "CPU busy"),
        "load_1min": ("Compute", "Load, 1 min"),
        "disk_free_bytes": ("Memory", "Disk free"),
    }
