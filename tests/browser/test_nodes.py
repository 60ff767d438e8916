"""Node page in a real browser: dialogs keep typed texts during updates."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.running import TINY, Fourwalls, changes

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def node(fourwalls: tuple[Fourwalls, str]) -> str:
    found = re.search(r'"node": "([^"]+)"', fourwalls[0].manage("node", "list", "--json").stdout)
    assert found
    return f"/nodes/{found[1]}/"


@pytest.fixture
def here(page: Page, node: str) -> Page:
    page.goto(node)
    expect(page.locator("[data-link-state]")).to_have_attribute("data-state", "live")
    return page


def test_a_node_is_cordoned_in_a_dialog_and_opened_again(here: Page):
    here.get_by_role("link", name="Cordon").click()
    here.locator("#ask-reason").fill("odd noises")
    here.locator("#ask").get_by_role("button", name="Cordon").click()
    expect(here.locator("#ask")).to_be_hidden()
    expect(here.locator(".node-head")).to_contain_text("odd noises")
    here.get_by_role("link", name="Open again").click()
    here.locator("#ask").get_by_role("button", name="Open again").click()
    expect(here.locator(".node-head")).to_contain_text("ready")


def test_a_refused_drain_stays_open_with_the_typed_text_and_reason(here: Page):
    here.get_by_role("link", name="Drain").click()
    dialog = here.locator("#ask")
    dialog.get_by_role("radio", name="By a deadline").check()
    dialog.get_by_label("Deadline, in hours").fill("soon")
    dialog.get_by_role("button", name="Drain").click()
    expect(dialog).to_contain_text("'soon' is not between")
    expect(dialog).to_contain_text("A reason is needed")
    expect(dialog.get_by_label("Deadline, in hours")).to_have_value("soon")
    here.wait_for_timeout(2500)  # heartbeats redraw the page behind it
    expect(dialog.get_by_label("Deadline, in hours")).to_have_value("soon")
    dialog.get_by_role("link", name="Cancel").click()
    expect(dialog).to_be_hidden()
    expect(here.locator(".node-head")).to_contain_text("ready")


def test_a_device_is_marked_and_readmitted(here: Page):
    here.locator("[data-mark]").first.click()
    here.locator("#mark").get_by_label("suspect").check()
    here.locator("#mark-reason").fill("smells")
    here.get_by_role("button", name="Mark device", exact=True).click()
    expect(here.locator("#mark")).to_be_hidden()
    expect(here.locator(".device").first).to_contain_text("smells")
    here.get_by_role("link", name="Readmit").click()
    here.locator("#ask").get_by_role("button", name="Readmit").click()
    expect(here.locator(".device").first).not_to_contain_text("smells")


@pytest.mark.ranks
def test_running_jobs_are_shown_live(here: Page, node: str, fourwalls: tuple[Fourwalls, str]):
    fourwalls[0].manage("submit", "demo", *changes([*TINY, "name=drawn", "budget.steps=100000"]))
    row = here.locator("#node tr", has_text="drawn")
    expect(row).to_contain_text("running", timeout=60_000)
    expect(row).to_contain_text("at the latest")
    here.goto(node)
    panel = here.locator("[data-metrics~='utilisation_pct']")
    panel.scroll_into_view_if_needed()  # charts out of view do not load
    expect(panel).to_have_attribute("data-state", "drawn", timeout=30_000)
    expect(panel.locator("canvas").first).to_be_visible()
    here.get_by_role("link", name="Drain").click()
    dialog = here.locator("#ask")
    expect(dialog.locator(".affected")).to_contain_text("drawn")
    dialog.get_by_role("radio", name="Checkpoint and requeue").check()
    dialog.get_by_label("Reason").fill("new BIOS")
    dialog.get_by_role("button", name="Drain").click()
    expect(here.locator(".node-head")).to_contain_text("drained", timeout=60_000)
    here.goto("/queue/")
    expect(here.locator("tr", has_text="drawn")).to_contain_text("drained")


@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_node_and_its_dialogs_fit_every_screen(
    page_like: Callable[..., Page], node: str, width: int, theme: str
):
    page = page_like(viewport={"width": width, "height": 844}, color_scheme=theme)
    for path in (node, f"{node}drain/"):
        page.goto(path)
        assert page.locator("h1").count() == 1
        assert page.evaluate("document.documentElement.scrollWidth") <= width
