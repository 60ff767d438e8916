"""Verdict of a trained run in a real browser: evidence, form, check by a twin."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.browser.conftest import collect_console_errors, submit

pytestmark = [pytest.mark.browser, pytest.mark.ranks, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def trained(person: BrowserContext) -> str:
    """Address of a run with a verdict."""
    page = collect_console_errors(person.new_page(), [])
    submit(page, "judged", "40")
    expect(page.locator("#run-head")).to_contain_text("succeeded", timeout=120_000)
    expect(page.locator("#run-verdict")).to_contain_text("of each step", timeout=60_000)
    address = page.url
    page.close()
    return address


def test_the_verdict_opens_its_evidence_and_a_form_with_the_change(page: Page, trained: str):
    page.goto(trained)
    panel = page.locator("#run-verdict")
    for limit in ("Compute", "Memory", "Bandwidth", "Power"):
        expect(panel.locator(".limit dt", has_text=limit)).to_be_visible()
    evidence = panel.locator("#verdict-evidence")
    evidence.locator("summary").click()
    expect(evidence.locator("tbody tr").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_check_shows_the_observed_saving(page: Page, trained: str, console_errors: list[str]):
    page.goto(trained)
    panel = page.locator("#run-verdict")
    panel.locator("#check-verdict").click()
    # The bottleneck of a tiny run on a busy host is chance: the verdict either has a change to check or says why not.
    # The reply is a toast, or a message on the page if the click came before the scripts.
    check, reply = panel.locator(".check-message"), page.locator(".toasts > *, .messages > *")
    expect(check.or_(reply).first).to_be_visible(timeout=30_000)
    if check.count() or "in the queue" in reply.first.inner_text():
        expect(check).to_be_visible(timeout=30_000)
        expect(check).to_contain_text(
            re.compile("verdict holds|off by more|not checked|inconclusive"), timeout=150_000
        )
        expect(panel.locator("#check-verdict")).to_contain_text("Check again")
    else:
        console_errors.clear()  # the browser reports the 409 of the refusal


def test_the_compare_page_explains_the_difference_of_two_runs(page: Page, trained: str):
    submit(page, "other", "40")
    expect(page.locator("#run-verdict")).to_contain_text("of each step", timeout=150_000)
    ids = [re.findall(r"/runs/(\w+)/", address)[0] for address in (trained, page.url)]
    page.goto(f"/compare/?run={ids[0]}&run={ids[1]}")
    page.locator("#why").scroll_into_view_if_needed()
    expect(page.locator("#why .why-message").last).to_contain_text(
        re.compile("faster|slower|same time"), timeout=20_000
    )
    expect(page.locator("#why .why-bar")).to_have_count(2)


def test_what_a_person_opens_or_closes_during_a_refresh_stays_so(page: Page, trained: str):
    """The answer of the refresh is held back until the person has clicked."""
    page.goto(trained)
    panel = page.locator("#run-verdict")
    evidence = panel.locator("#verdict-evidence")  # every verdict has one
    held: list[Route] = []
    for expected in (True, False):
        held.clear()
        with page.expect_request("**/verdict/"):  # that of an event on the way counts too
            page.route("**/verdict/", lambda route: held.append(route))
            page.evaluate("document.body.dispatchEvent(new Event('changed'))")
        evidence.locator("summary").click()
        with page.expect_response("**/verdict/"):
            held[0].continue_()
        page.unroute("**/verdict/")
        page.wait_for_timeout(500)  # swapped and settled
        assert (evidence.get_attribute("open") is not None) == expected
