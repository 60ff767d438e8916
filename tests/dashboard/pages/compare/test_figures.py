"""Hardware figures as bars, with spread and reasons for absence."""

from __future__ import annotations

import pytest

from dashboard.pages.compare.bars import FigureBar
from jobs import series
from jobs.models import Run
from jobs.series import Point
from jobs.tracking import external_runs

FIGURES = "/compare/figures/"
TITLES = {"throughput": "Throughput", "mfu": "MFU", "memory": "Peak memory", "energy": "Energy per token"}


@pytest.fixture
def make_run(owner, team):
    def make(*points: Point, missing: dict | None = None) -> Run:
        run = external_runs.create(team=team, owner=owner, name="run", origin="test")
        if missing:
            Run.objects.filter(id=run.id).update(missing=missing)
        series.append(run.id, 0, "t", 0, points)
        return run

    return make


def run_points(metric: str, *values: float) -> list[Point]:
    return [Point(metric, "run", step, 1000.0 + step, value) for step, value in enumerate(values)]


def device_points(metric: str, source: str, *values: float) -> list[Point]:
    return [Point(metric, source, None, 1000.0 + second, value) for second, value in enumerate(values)]


def bars(browser, *runs: Run) -> list[dict]:
    answer = browser.get(FIGURES, {"run": [run.id for run in runs]})
    assert answer.status_code == 200
    table = answer.context["table"]
    columns = [list(TITLES)[list(TITLES.values()).index(column.title)] for column in table.columns]
    absent = {title: FigureBar(None, reason) for reason, titles in table.absent for title in titles}
    hidden = {name: absent[title] for name, title in TITLES.items() if title in absent}
    rows = [bars for _, bars in table.rows] or [[] for _ in runs if hidden]
    return [hidden | dict(zip(columns, row, strict=True)) for row in rows]


def test_throughput_is_a_mean_with_minimum_and_maximum(owner_browser, make_run):
    slow = make_run(*run_points("tokens_per_s", 100, 200, 300))
    fast = make_run(*run_points("tokens_per_s", 500, 500, 1000, float("nan")))
    first, second = bars(owner_browser, slow, fast)
    assert first["throughput"].spread == (200, 100, 300)
    assert (first["throughput"].width, first["throughput"].low, first["throughput"].high) == (20, 10, 30)
    assert second["throughput"].high == 100


def test_peak_memory_is_that_of_the_fullest_device(owner_browser, make_run):
    run = make_run(
        *device_points("memory_used_bytes", "device:a", 10, 70, 20),
        *device_points("memory_used_bytes", "device:b", 5, 30),
    )
    (row,) = bars(owner_browser, run)
    assert row["memory"].spread == (70, 30, 70)
    assert row["memory"].label == "Memory used"


def test_resident_memory_is_used_where_no_device_was_read(owner_browser, make_run):
    (row,) = bars(owner_browser, make_run(Point("rss_bytes", "rank0", 1, 1.0, 5.0)))
    assert (row["memory"].spread.value, row["memory"].label) == (5, "Resident memory")


def test_energy_per_token_is_all_joules_over_all_tokens(owner_browser, make_run):
    run = make_run(
        *run_points("tokens", *range(0, 1100, 100)),
        *device_points("energy_j", "device:a", *range(0, 550, 50)),
        *device_points("energy_j", "device:b", *range(0, 550, 50)),
    )
    (row,) = bars(owner_browser, run)
    assert row["energy"].spread == pytest.approx((1.0, 1.0, 1.0))


def test_an_expensive_phase_widens_the_spread(owner_browser, make_run):
    joules = [0, 10, 20, 30, 40, 50, 150, 160, 170, 180, 190]
    run = make_run(
        *run_points("tokens", *range(0, 1100, 100)), *device_points("energy_j", "device:a", *joules)
    )
    (row,) = bars(owner_browser, run)
    assert row["energy"].spread == pytest.approx((0.19, 0.1, 1.0))


def test_an_absent_figure_has_a_reason_and_is_not_zero(owner_browser, make_run):
    run = make_run(missing={"device:a": {"energy_j": ["denied", "Only root may read it."]}})
    (row,) = bars(owner_browser, run)
    assert [bar.spread for bar in row.values()] == [None] * 4
    assert row["energy"].label == "denied: Only root may read it."
    assert row["throughput"].label == "No value has been recorded."
    text = owner_browser.get(FIGURES, {"run": run.id}).text
    assert "Only root may read it." in text and "0 B" not in text


def test_energy_of_only_some_devices_is_not_the_energy_of_the_run(owner_browser, make_run):
    points = [*run_points("tokens", 0, 100), *device_points("energy_j", "device:a", 0, 50)]
    run = make_run(*points, missing={"device:b": {"energy_j": ["unsupported", "No counter."]}})
    (row,) = bars(owner_browser, run)
    assert (row["energy"].spread, row["energy"].label) == (None, "unsupported: No counter.")


def test_a_run_without_tokens_has_no_energy_per_token(owner_browser, make_run):
    (row,) = bars(owner_browser, make_run(*device_points("energy_j", "device:a", 0, 50)))
    assert row["energy"].spread is None


def test_a_stranger_sees_no_figure(stranger_browser, make_run):
    assert bars(stranger_browser, make_run(*run_points("tokens_per_s", 1, 2))) == []
