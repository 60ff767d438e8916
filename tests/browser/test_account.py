"""Account and team pages in a real browser: journeys in clicks, both widths."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.running import Fourwalls

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

ADD_ZOE = "from django.contrib.auth.models import User; User.objects.create_user('zoe')"


def test_an_own_token_takes_two_clicks_and_one_more_to_revoke(page: Page):
    page.goto("/jobs/")
    page.get_by_label("Account and theme").click()
    page.get_by_role("button", name="Create API token").click()
    expect(page.locator("#token-text")).to_have_text(re.compile(r"fw_[\w-]{40,}"))
    page.get_by_role("button", name="Revoke my script", exact=True).click()
    expect(page.locator("#confirm")).to_contain_text("are refused at once")
    page.get_by_role("button", name="Revoke token").click()
    expect(page.get_by_text("No tokens yet.")).to_be_visible()


def test_a_member_is_added_in_three_clicks(page: Page, fourwalls: tuple[Fourwalls, str]):
    fourwalls[0].manage("shell", "-v0", "-c", ADD_ZOE)
    page.goto("/teams/")
    page.get_by_role("main").get_by_role("link", name="default").click()
    page.get_by_label("User name").fill("zoe")
    page.get_by_role("button", name="Add member").click()
    expect(page.locator(".messages")).to_contain_text("zoe is now member of team default")
    page.get_by_role("button", name="Remove zoe").click()
    page.get_by_role("button", name="Remove member").click()
    expect(page.locator(".messages")).to_contain_text("zoe is no longer in team default")
    expect(page.get_by_role("button", name="Remove zoe")).to_have_count(0)


def test_an_invitation_link_leads_to_a_new_account(page: Page, page_like: Callable[..., Page]):
    page.goto("/teams/default/")
    page.get_by_role("button", name="Create invitation link").click()
    link = page.locator("#invitation-link").inner_text()
    context: BrowserContext | None = page.context.browser and page.context.browser.new_context()
    assert context is not None
    guest = context.new_page()
    guest.goto(link)
    guest.get_by_label("Username").fill("yara")
    for label in ("Password", "Password confirmation"):
        guest.get_by_label(label, exact=True).fill("correct horse battery")
    guest.get_by_role("button", name="Create account and join").click()
    expect(guest.locator(".messages")).to_contain_text("Welcome to team default")
    context.close()


@pytest.mark.parametrize(
    "path", ["account/", "account/tokens/", "teams/", "teams/default/", "people/", "audit/"]
)
@pytest.mark.parametrize("width", [360, 1440])
def test_no_page_scrolls_sideways(page_like: Callable[..., Page], path: str, width: int):
    page = page_like(viewport={"width": width, "height": 740})
    page.goto(f"/{path}")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
