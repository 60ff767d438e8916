"""Hardware figures of runs, and the reason for each that is absent."""

from __future__ import annotations

import pytest

from jobs import series
from jobs.models import Run
from jobs.runs.hardware_figures import SOURCES, get_hardware_figures
from jobs.series import Point
from jobs.tracking import external_runs

pytestmark = pytest.mark.django_db


@pytest.fixture
def make_run(owner, team):
    def make(*points: Point, missing: dict | None = None) -> Run:
        run = external_runs.create(team=team, owner=owner, name="run", origin="test")
        run.missing = missing or {}
        series.append(run.id, 0, "t", 0, points)
        return run

    return make


def points(metric: str, source: str, *values: float) -> list[Point]:
    step = 1 if source == "run" else None
    return [
        Point(metric, source, step and step + n, 1000.0 + n, value) for n, value in enumerate(values)
    ]  # fmt: skip


def test_a_figure_has_its_spread_and_the_metric_behind_it(make_run):
    run = make_run(*points("tokens_per_s", "run", 100, 300), *points("rss_bytes", "rank0", 5, 7))
    found = get_hardware_figures([run])[run.id]
    assert list(found) == list(SOURCES)
    assert (found["tokens_per_s"].spread, found["tokens_per_s"].metric) == ((200, 100, 300), "tokens_per_s")
    assert (found["memory"].spread, found["memory"].metric) == ((7, 7, 7), "rss_bytes")


def test_memory_of_the_board_comes_before_that_of_the_process(make_run):
    run = make_run(*points("memory_used_bytes", "device:a", 9), *points("rss_bytes", "rank0", 99))
    assert get_hardware_figures([run])[run.id]["memory"].spread.value == 9


def test_an_absent_figure_has_the_reported_reason_or_a_general_one(make_run):
    run = make_run(missing={"device:a": {"energy_j": ["denied", "Only root may read it."]}})
    found = get_hardware_figures([run])[run.id]
    assert found["joules_per_token"].reason == "denied: Only root may read it."
    assert found["mfu_share"].reason == "No value has been recorded."
    assert all(figure.spread is None for figure in found.values())


def test_energy_of_some_devices_is_not_the_energy_of_the_run(make_run):
    measured = (*points("tokens", "run", 0, 100), *points("energy_j", "device:a", 0, 50))
    whole = make_run(*measured)
    part = make_run(*measured, missing={"device:b": {"energy_j": ["unsupported", "No counter."]}})
    found = get_hardware_figures([whole, part])
    assert found[whole.id]["joules_per_token"].spread is not None
    assert found[part.id]["joules_per_token"].spread is None
