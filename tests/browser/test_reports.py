"""Reports in a real browser: pasted addresses of compare pages become live charts."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.running import Fourwalls

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

LOG_RUN = """
from jobs import series
from jobs.tracking import external_runs
from jobs.models import Membership
member = Membership.objects.select_related("team", "user").first()
run = external_runs.create(team=member.team, owner=member.user, name="reported", origin="fourwalls")
points = [series.Point("loss", "run", step, 1000.0 + step, 5.0 - step / 10) for step in range(30)]
series.append(run.id, 1, "s", 0, points)
print("run:" + run.id)
"""
MORE = """
from jobs import series
series.append({run!r}, 1, "s", 1, [series.Point("loss", "run", 400, 1400.0, 1.0)])
"""


@pytest.fixture(scope="module")
def run_id(fourwalls: tuple[Fourwalls, str]) -> str:
    found = re.search(r"run:(\w+)", fourwalls[0].manage("shell", "-c", LOG_RUN).stdout)
    assert found
    return found.group(1)


def test_an_address_is_replaced_by_a_live_chart(
    page: Page, run_id: str, fourwalls: tuple[Fourwalls, str]
) -> None:
    page.goto("/reports/")
    page.get_by_role("link", name="Write a report").click()
    page.get_by_label("Title").fill("What we found")
    page.get_by_label("Text (Markdown").fill(
        f"It **falls**:\n\n/compare/?run={run_id}&metric=loss\n\nSo be it."
    )
    preview = page.locator("#report-preview [data-metrics=loss]")
    expect(preview).to_have_attribute("data-state", "drawn", timeout=20_000)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="What we found")).to_be_visible()
    panel = page.locator("[data-metrics=loss]")
    expect(panel).to_have_attribute("data-state", "drawn", timeout=20_000)
    expect(panel.get_by_role("button", name="Training loss 2.1", exact=True)).to_be_visible()
    fourwalls[0].manage("shell", "-c", MORE.format(run=run_id))
    expect(panel.get_by_role("button", name="Training loss 1", exact=True)).to_be_visible(timeout=20_000)


@pytest.mark.parametrize("device", [{"width": 390, "height": 844}, {"width": 1440, "height": 900}])
@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_reports_fit_every_screen(page_like, device, color_scheme) -> None:
    page = page_like(viewport=device, color_scheme=color_scheme)
    for address in ("/reports/", "/reports/write/"):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= device["width"]
