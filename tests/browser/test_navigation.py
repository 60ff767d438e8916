"""Tabs of the run page, search over everything, the bar, the bin and drafts."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import collect_console_errors, submit

pytestmark = [pytest.mark.browser, pytest.mark.ranks, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def trained(person: BrowserContext) -> str:
    """Address of a run that has trained to its end."""
    page = collect_console_errors(person.new_page(), [])
    submit(page, "trained", "60")
    expect(page.locator("#run-head")).to_contain_text("succeeded", timeout=120_000)
    address = page.url
    page.close()
    return address


@pytest.mark.parametrize("width", [1440, 390])
def test_the_tabs_of_a_run_are_addresses_and_have_keys(
    page_like: Callable[..., Page], trained: str, width: int
):
    page = page_like(viewport={"width": width, "height": 844})
    page.goto(trained)
    for name, part in {"Charts": "#charts", "Logs": "#log", "Files": "#run-files", "Spec": "#spec"}.items():
        page.locator(".run-tabs").get_by_role("link", name=name).click()
        page.wait_for_url(f"**{trained}{name.lower()}/")
        expect(page.locator(part)).to_be_visible()
        expect(page.locator(".run-tabs [aria-current=page]")).to_have_text(name)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.keyboard.press("1")
    page.wait_for_url(f"**{trained}")
    page.keyboard.press("]")
    page.wait_for_url(f"**{trained}charts/")
    page.go_back()
    page.wait_for_url(f"**{trained}")


def test_the_tabs_work_without_a_script(page_like: Callable[..., Page], trained: str):
    page = page_like(java_script_enabled=False)
    page.goto(trained)
    page.locator(".run-tabs").get_by_role("link", name="Spec").click()
    expect(page.locator("#spec-yaml")).to_contain_text("name: trained")
    expect(page.locator(".nav-more")).to_be_visible()


def test_a_log_is_searched_wrapped_and_saved(page: Page, trained: str):
    page.goto(f"{trained}logs/")
    expect(page.locator("#log pre")).to_contain_text("step")
    page.locator("#log-text").fill("VALIDATION loss")
    expect(page.locator("#log-state")).to_contain_text(" of ")
    expect(page.locator("#log pre")).to_contain_text("validation loss")
    expect(page.locator("#log .log-number").first).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#log .log-number")).to_have_count(0)
    page.locator("#log-wrap").check()
    expect(page.locator("#log")).to_have_attribute("data-wrap", "")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download").click()
    assert "step" in saved.value.path().read_text()


def test_everything_is_found_by_ctrl_k(page: Page, trained: str):
    page.goto("/queue/")
    page.keyboard.press("Control+k")
    expect(page.locator("#search")).to_be_visible()
    page.keyboard.type("trained")
    expect(page.locator("#search .found").first).to_contain_text("trained")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#search .found").first).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{trained}")
    page.keyboard.press("Control+k")
    page.keyboard.press("Escape")
    expect(page.locator("#search")).to_be_hidden()


@pytest.mark.parametrize("width", [900, 1200, 1440, 1920])
def test_the_bar_shows_what_fits_and_the_rest_under_more(page_like: Callable[..., Page], width: int):
    page = page_like(viewport={"width": width, "height": 900})
    page.goto("/jobs/")
    expect(page.locator("[data-link-state]")).to_have_attribute("data-state", "live")
    bar, rest = (
        page.locator(".nav-pages > a:visible"),
        page.locator(".nav-more .menu-panel > a:not([hidden])"),
    )
    total = page.locator(".nav-pages > a").count()
    assert bar.count() + rest.count() == total
    if width >= 1440:
        assert bar.count() == total
        expect(page.locator(".nav-more")).to_be_hidden()
    else:
        expect(page.locator(".nav-more")).to_be_visible()
    tops = {round(link.bounding_box()["y"]) for link in bar.all()}
    assert len(tops) == 1


def test_a_run_goes_to_the_bin_and_comes_back(page: Page, trained: str):
    page.goto(trained)
    page.get_by_text("Move or delete").click()
    page.get_by_role("link", name="Delete run").click()
    expect(page.locator(".delete-card")).to_contain_text("7 days")
    page.get_by_role("button", name="Delete run").click()
    page.wait_for_url("**/projects/bin/")
    page.get_by_role("button", name=re.compile("Restore")).first.click()
    expect(page.locator(".messages")).to_contain_text("is back")
    page.goto(trained)
    expect(page.locator("#run-head")).to_be_visible()


def test_a_draft_of_the_form_is_kept_and_offered(page_like: Callable[..., Page]):
    page = page_like()
    page.goto("/submit/")
    page.locator("#spec-form [name='name']").fill("my draft")
    expect(page.locator("#draft-state")).to_contain_text("Draft kept")
    expect(page.locator("#go")).to_be_in_viewport()
    page.locator(".brand").click()
    page.get_by_role("button", name="Keep editing").click()
    expect(page.locator("#spec-form [name='name']")).to_have_value("my draft")
    page.locator(".brand").click()
    page.get_by_role("button", name="Leave page").click()
    page.wait_for_url(lambda address: not address.endswith("/submit/"))
    page.goto("/submit/?preset=code")
    page.get_by_role("button", name="Open draft").click()
    page.wait_for_url("**/submit/")
    expect(page.locator("#spec-form [name='name']")).to_have_value("my draft")
    page.reload()
    page.get_by_role("button", name="Discard draft").click()
    page.reload()
    expect(page.locator("#draft-notice")).to_be_hidden()
