"""Settings page of a pool in a real browser."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SETTINGS = "/pools/default/settings/"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_quota_is_edited_in_its_row_and_the_history_is_refreshed(
    page_like: Callable[..., Page], theme: str
):
    page = page_like(color_scheme=theme)
    page.goto("/pools/")
    page.get_by_role("link", name="Settings and quotas").first.click()
    row = page.locator("#quota-default")
    weight = {"light": "2", "dark": "3"}[theme]
    row.get_by_label("Weight of default").fill(weight)
    row.get_by_label("Guaranteed of default").fill("500")
    row.get_by_role("button", name="Save").click()
    expect(row.get_by_role("alert")).to_contain_text("exceed the")
    expect(row.get_by_label("Weight of default")).to_have_value(weight)
    row.get_by_label("Guaranteed of default").fill("1")
    row.get_by_role("button", name="Save").click()
    expect(page.locator("#pool-changes")).to_contain_text(f"→ {weight}")
    expect(page.locator("#pool-changes")).to_contain_text("Guaranteed to all teams: 1 of")


def test_a_problem_is_shown_at_its_field(page: Page, console_errors: list[str]):
    page.goto(SETTINGS)
    page.get_by_label("Largest job").fill("lots")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("'lots' is not a whole number.")
    expect(page.get_by_label("Largest job")).to_have_value("lots")
    page.get_by_label("Largest job").fill("64")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#pool-changes")).to_contain_text("Largest job: no limit → 64 devices")
    console_errors[:] = [
        message for message in console_errors if "422" not in message
    ]  # the browser reports the refusal


def test_a_narrow_screen_does_not_scroll_sideways(page_like: Callable[..., Page]):
    page = page_like(viewport={"width": 360, "height": 740})
    page.goto(SETTINGS)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
