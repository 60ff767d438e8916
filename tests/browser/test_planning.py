"""Accuracy, advice and a fabric test in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.running import Fourwalls

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

# A profile and three judged runs, through the doors that write them.
JUDGED = """
from engine.hardware.probe_results import PROBE_VERSION, MeasuredFigure, ProbeReport
from engine.planner import PLANNER_VERSION
from jobs.planning import device_profiles
from jobs.models import Device, Forecast, Membership, Run
member = Membership.objects.select_related("team", "user").first()
device = Device.objects.first()
names = ("gemm_fp32_flops_per_s", "copy_bytes_per_s", "optimiser_bytes_per_s", "launch_s")
figures = {n: MeasuredFigure(v, v, v, 9) for n, v in zip(names, (5e10, 1e10, 1e10, 3e-6))}
device_profiles.store_probe(device, ProbeReport(PROBE_VERSION, "2.13.0+cpu", "cpu", 1, 8.0, figures, {}, {}))
for number in range(3):
    run = Run.objects.create(team=member.team, owner=member.user, name=f"judged {number}")
    for field, point in (("step_s", 0.1), ("memory_bytes", 5e8)):
        about = {"device": device.name, "planned_device": device.name, "dtype": "fp32", "num_steps": 30}
        span = {"low": point / 2, "point": point, "high": point * 2, "raw": point, "planner_version": PLANNER_VERSION}
        measured = point * (1 + number / 10)
        Forecast.objects.create(run=run, field=field, measured=measured, status="measured", **span, **about)
"""


@pytest.fixture(scope="module")
def judged(fourwalls: tuple[Fourwalls, str]) -> None:
    fourwalls[0].manage("shell", "-c", JUDGED)


def test_errors_are_regrouped_without_a_reload(page: Page, judged: None):
    page.goto("/accuracy/")
    expect(page.locator("svg.plot")).to_have_count(2)
    page.get_by_role("link", name="by device").click()
    expect(page).to_have_url(re.compile("by=field%2Cdevice"))
    expect(page.locator(".accuracy-table").first).to_contain_text("Step time")
    page.get_by_label("Field").select_option("step_s")
    expect(page.locator("svg.plot")).to_have_count(1)
    page.locator("svg.plot a").first.click()
    expect(page).to_have_url(re.compile("/runs/"))


@pytest.mark.ranks
def test_links_are_measured_and_drawn(page: Page):
    page.goto("/submit/?set=kind%3Dfabric_test&set=budget.steps%3D4&set=name%3Dlinks")
    expect(page.locator("[data-field='model.layers']")).to_be_hidden()
    expect(page.locator("#plan")).to_contain_text("1 KiB to 8 KiB")
    page.locator("#go").click()
    page.wait_for_url("**/runs/*/")
    expect(page.locator("#links polyline")).to_have_count(8, timeout=90_000)
    expect(page.locator("#links table")).to_contain_text("All-reduce, parameter server")
    expect(page.locator("#run-history")).to_contain_text("every result was correct", timeout=60_000)


@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_planning_pages_fit_every_screen(
    page_like: Callable[..., Page], judged: None, width: int, theme: str
):
    page = page_like(viewport={"width": width, "height": 844}, color_scheme=theme)
    for path in ("/accuracy/", "/advice/?preset=demo"):
        page.goto(path)
        assert page.locator("h1").count() == 1
        assert page.evaluate("document.documentElement.scrollWidth") <= width
