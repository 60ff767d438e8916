"""Sweeps in a real browser: preview, submit, cancel, and an ended sweep."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import TINY
from tests.running import Fourwalls

pytestmark = [pytest.mark.browser, pytest.mark.ranks, pytest.mark.timeout(300)]

# Two runs with points, as if they had been trained; nothing of it ever ran.
ENDED = """
import time
from django.contrib.auth.models import User
from engine.spec.spec import parse
from jobs import series
from jobs.people import accounts
from jobs.sweeps import sweep_actions
from jobs.models import Job, Run, Sweep
owner = accounts.ensure_first_team_and_user()
spec = parse({"name": "ended", "parallel": {"data": 1}})
values = {"vary": {"optimiser.learning_rate": [1e-4, 1e-3]}, "metric": "loss"}
sweep = sweep_actions.submit(spec=spec, values=values, team=accounts.first_writable_team(owner), owner=owner)
sweep_actions.cancel(sweep, "admin", "Enough.")
for run in Run.objects.filter(job__sweep=sweep).select_related("job"):
    at = run.job.sweep_number
    points = [series.Point("loss", "run", step, time.time() + step, 5.0 / at + 1 / step) for step in range(1, 40)]
    series.append(run.id, 1, "test", 0, points)
Job.objects.filter(sweep=sweep).update(step=39)
print("sweep:" + sweep.id)
"""


def test_a_sweep_from_the_form_to_its_page(page: Page):
    page.goto("/submit/")
    for field, value in {"name": "rates", "budget.steps": "2000", "parallel.data": "1", **TINY}.items():
        page.locator(f"#spec-form [name='{field}']").fill(value)
    page.locator("#sweep-on").check()
    expect(page.locator("#go")).to_be_hidden()
    page.locator("[name='sweep.values.0']").fill("1e-5, 1e-3")
    page.locator("#sweep-more").click()
    page.locator("[name='sweep.path.2']").select_option("model.heads")
    page.locator("[name='sweep.values.2']").fill("2, 3")
    preview = page.locator("#sweep-preview")
    expect(preview).to_contain_text("2 runs of 4; 2 left out", timeout=30_000)
    expect(preview).to_contain_text("3 heads do not divide the width")
    page.get_by_role("button", name="Submit sweep").click()
    page.wait_for_url("**/sweeps/*/")
    body = page.locator("#sweep-body")
    expect(body).to_contain_text("4 runs, 4 in parallel")
    body.get_by_role("button", name="Cancel sweep").click()
    page.locator("#confirm").get_by_role("button", name="Cancel sweep").click()
    expect(body).to_contain_text("Cancelled by admin.", timeout=30_000)


def test_dots_and_series_of_a_sweep_link_to_its_runs(page: Page, fourwalls: tuple[Fourwalls, str]):
    printed = fourwalls[0].manage("shell", "-v0", "-c", ENDED).stdout
    found = re.search(r"sweep:(\w+)", printed)
    assert found, printed
    page.goto(f"/sweeps/{found.group(1)}/")
    panel = page.locator("[data-metrics='loss']")
    panel.scroll_into_view_if_needed()
    expect(panel).to_have_attribute("data-state", "drawn", timeout=30_000)
    expect(page.locator(".scatter .plot-dot")).to_have_count(2)
    page.locator(".scatter a").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/runs/*/")
    page.get_by_role("link", name=re.compile("of a sweep")).click()
    page.get_by_role("link", name="Compare the best 2").click()
    page.wait_for_url("**/compare/**")
