"""A sweep in a real browser: counted while it is typed, submitted, followed to its end, compared."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import TINY

pytestmark = [pytest.mark.browser, pytest.mark.ranks, pytest.mark.timeout(300)]


def test_a_sweep_from_the_form_to_the_best_of_its_runs(page: Page):
    page.goto("/submit/")
    for field, value in {"name": "rates", "budget.steps": "20", "parallel.data": "1", **TINY}.items():
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
    page.get_by_role("button", name="Submit the sweep").click()
    page.wait_for_url("**/sweeps/*/")
    body = page.locator("#sweep-body")
    expect(body).to_contain_text("finished", timeout=220_000)
    expect(body).to_contain_text(re.compile(r"Best: #\d with validation loss"))
    expect(page.locator(".scatter")).to_have_count(2)
    page.reload()
    panel = page.locator("[data-metrics='loss']")
    panel.scroll_into_view_if_needed()
    expect(panel).to_have_attribute("data-state", "drawn", timeout=30_000)
    page.locator(".scatter a").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/runs/*/")
    page.get_by_role("link", name=re.compile("of a sweep")).click()
    page.get_by_role("link", name="Compare the best 2").click()
    page.wait_for_url("**/compare/**")
    expect(page.locator("h1")).to_have_text("Compare")
