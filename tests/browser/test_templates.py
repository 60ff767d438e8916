"""Templates and clones in a real browser."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import submit

pytestmark = [pytest.mark.browser, pytest.mark.ranks, pytest.mark.timeout(180)]


def test_a_spec_is_saved_as_a_template_and_used_again(page: Page):
    page.goto("/submit/")
    page.locator("#save-template > summary").click()
    page.locator("[name='seed']").fill("77")
    expect(page.locator("#differs")).to_contain_text("seed")
    page.locator("#template-name").fill("seventy-seven")
    page.get_by_role("button", name="Save template").click()
    expect(page.locator(".messages")).to_contain_text("Template seventy-seven is saved.")
    page.goto("/submit/")
    page.get_by_role("link", name=re.compile("seventy-seven")).click()
    expect(page.locator("[name='seed']")).to_have_value("77")
    expect(page.locator("#differs")).to_contain_text("No changes from")


def test_changes_of_a_clone_are_listed_and_can_be_undone(page: Page):
    submit(page, "original", "5")
    page.get_by_role("link", name="Clone").first.click()
    page.locator("[name='seed']").fill("5")
    expect(page.locator("#differs")).to_contain_text("1 field differs from run original")
    page.locator("#differs [data-undo='seed']").click()
    expect(page.locator("[name='seed']")).to_have_value("1")
    expect(page.locator("#differs")).to_contain_text("No changes from")
    page.locator("[name='seed']").fill("6")
    expect(page.locator("#verdict")).to_have_text("Ready")
    page.locator("#go").click()
    page.wait_for_url("**/runs/*/")
    expect(page.locator("#run-head")).to_contain_text("cloned from original")
    page.goto(f"{page.url}spec/")
    expect(page.locator("#spec")).to_contain_text("1 field changed")
