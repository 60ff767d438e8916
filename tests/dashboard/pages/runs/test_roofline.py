"""Roofline panel: measured points under ceilings, reasons where there are none, overlays, and access."""

from __future__ import annotations

import pytest
from django.urls import reverse

from jobs.models import Device
from jobs.verdicts.rooflines import build_rooflines
from tests.jobs.finished_jobs import MEASURED, add_profile, finish_job

pytestmark = pytest.mark.django_db


@pytest.fixture
def probed(node) -> None:
    add_profile(Device.objects.get(id="a-0"))


def panel(browser, *runs) -> str:
    if len(runs) == 1:
        return browser.get(reverse("run-roofline", args=[runs[0].id])).text
    return browser.get(reverse("compare-roofline") + "?" + "&".join(f"run={run.id}" for run in runs)).text


def test_each_phase_and_the_whole_step_is_a_point_under_measured_ceilings(probed, owner_browser, make_job):
    run = finish_job(make_job("precision.dtype=fp32")).run
    (found,) = build_rooflines([run])
    assert [point.phase for point in found.points] == ["step_s", "forward_s", "backward_s", "optimiser_s"]
    by = {point.phase: point for point in found.points}
    assert by["forward_s"].seconds == pytest.approx(MEASURED["forward_s"])
    assert by["step_s"].flops == pytest.approx(sum(p.flops for name, p in by.items() if name != "step_s"))
    assert by["optimiser_s"].intensity < by["forward_s"].intensity, "an update moves much for few FLOPs"
    for point in found.points:
        limit = min(50e9, point.intensity * 12e9)
        assert point.limit_flops_per_s == pytest.approx(limit)
        assert point.share == pytest.approx(point.flops_per_s / limit)
    text = panel(owner_browser, run)
    for shown in (
        "Whole step",
        "Optimiser",
        "cpu share",
        "(measured, probe of",
        "FLOPs and bytes are counted",
    ):
        assert shown in text
    assert text.count('href="#roofline-0-') == 2 * 4  # on wide and on narrow screens


def test_an_unprobed_device_has_points_without_a_ceiling(node, owner_browser, make_job):
    run = finish_job(make_job("precision.dtype=fp32")).run
    text = panel(owner_browser, run)
    assert "The speeds of cpu share are not known" in text
    assert "not known</td>" in text


def test_a_run_without_steps_says_so(owner_browser, make_job):
    assert "No time of a step has been recorded yet." in panel(owner_browser, make_job().run)


def test_runs_are_overlaid_on_the_compare_page(probed, owner_browser, make_job):
    runs = [finish_job(make_job("precision.dtype=fp32", name=name)).run for name in ("first", "second")]
    text = panel(owner_browser, *runs)
    assert text.count('href="#roofline-') == 2 * 8
    assert text.count(" memory 12") == 1, "one device, one list of ceilings"
    assert "first, Whole step" in text and "second, Whole step" in text
    assert (
        reverse("compare-roofline") in owner_browser.get(f"/compare/?run={runs[0].id}&run={runs[1].id}").text
    )


def test_more_runs_take_the_same_number_of_queries(probed, make_job, django_assert_num_queries):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    runs, counts = [], []
    for _ in range(2):
        runs += [finish_job(make_job("precision.dtype=fp32")).run for _ in range(2)]
        with CaptureQueriesContext(connection) as queries:
            build_rooflines(runs)
        counts.append(len(queries) - len(runs))
    assert counts[0] == counts[1], "one profile a run, the rest once"


def test_a_stranger_sees_nothing(stranger_browser, make_job):
    assert stranger_browser.get(reverse("run-roofline", args=[make_job().run.id])).status_code == 404
