"""Panels filled from one markup: the same HTML as the template's."""

from __future__ import annotations

import random

import pytest
from django.template.loader import render_to_string

from dashboard.charts.panel_markup import MARKS, render_panel
from dashboard.charts.panels import SECTIONS, Panel, get_metric

PARTS = (
    "loss",
    "train",
    "a b",
    "%",
    "<b>",
    '"',
    "'",
    "&amp;",
    "中文",
    "x" * 40,
    "{{ x }}",
    MARKS["title"],
    "8x7b",
)


def from_template(panel: Panel, state: str) -> str:
    return render_to_string("parts/panel.html", {"panel": panel, "state": state})


@pytest.mark.parametrize("seed", range(200))
def test_any_name_gives_the_markup_of_the_template(seed: int):
    rng = random.Random(seed)
    name = rng.choice(("/", "", "_")).join(rng.choices(PARTS, k=rng.randint(1, 4)))
    title = rng.choice((get_metric(name).label, name.rpartition("/")[2] or name))
    panel = Panel(title, (name,), floor=rng.choice((None, 0, 1.5)), is_optional=rng.random() < 0.5)
    state = rng.choice(("", "loading", "empty"))
    assert render_panel(panel, state) == from_template(panel, state)


def test_each_panel_of_the_engine_gives_the_markup_of_the_template():
    for _, row in SECTIONS:
        for panel in row:
            assert render_panel(panel, "loading") == from_template(panel, "loading")
