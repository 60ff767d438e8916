"""Queue page in a real browser: moves by mouse and keys, undo, updates during a drag."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.running import TINY, Fourwalls, changes, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

NAMES = ["first", "second", "third"]


def submit(fourwalls: Fourwalls, name: str) -> None:
    fourwalls.manage("submit", "demo", *changes([*TINY, f"name={name}"]))


@pytest.fixture(scope="module")
def waiting(fourwalls: tuple[Fourwalls, str]) -> Fourwalls:
    """Three jobs in a pool whose only node takes no jobs."""
    running = fourwalls[0]
    node = wait_until(
        lambda: re.search(r'"node": "([^"]+)"', running.manage("node", "list", "--json").stdout),
        description="a node",
    )
    running.manage("node", "cordon", node[1], "--reason", "for a look at the queue")
    for name in NAMES:
        submit(running, name)
    return running


@pytest.fixture
def rows(page: Page, waiting: Fourwalls) -> Locator:
    page.goto("/queue/")
    expect(page.locator("[data-link-state]")).to_have_attribute("data-state", "live")
    rows = page.locator("[data-rows] .title")
    expect(rows).to_have_text(NAMES)
    return rows


def press_grip(page: Page, number: int) -> None:
    """Press the grip of a row."""
    page.locator(".grip").nth(number).hover()
    page.mouse.down()


def drag_over(page: Page, number: int) -> None:
    page.locator("tr[data-job]").nth(number).hover(position={"x": 40, "y": 4})


def test_a_row_is_dragged_to_another_position_and_back(page: Page, rows: Locator):
    press_grip(page, 2)
    drag_over(page, 0)
    expect(page.locator(".is-gap-before")).to_have_count(1)
    page.mouse.up()
    expect(rows).to_have_text(["third", "first", "second"])
    page.get_by_role("button", name="Undo").click()
    expect(rows).to_have_text(NAMES)


def test_keys_move_the_focused_row_and_keep_the_focus(page: Page, rows: Locator):
    rows.nth(2).focus()
    page.keyboard.press("Alt+ArrowUp")
    expect(rows).to_have_text(["first", "third", "second"])
    expect(rows.nth(1)).to_be_focused()
    page.keyboard.press("Alt+End")
    expect(rows).to_have_text(NAMES)


def test_the_menu_of_a_row_changes_its_priority_and_confirms_a_cancel(page: Page, rows: Locator):
    page.locator("[data-menu]").nth(0).click()
    page.locator("#row-menu").get_by_role("button", name="low").click()
    expect(rows).to_have_text(["second", "third", "first"])
    page.keyboard.press("j")
    rows.nth(2).focus()
    page.keyboard.press("m")
    page.locator("#row-menu").get_by_role("button", name="normal").click()
    expect(rows).to_have_text(NAMES)
    page.locator("[data-menu]").nth(0).click()
    page.locator("#row-menu").get_by_role("button", name="Cancel job").click()
    expect(page.locator("#confirm-text")).to_contain_text("Cancel first?")
    page.locator("#confirm button[value='no']").click()
    expect(rows).to_have_text(NAMES)


def test_updates_in_flight_wait_during_a_drag(page: Page, rows: Locator):
    held: list[Route] = []
    page.route("**/queue/", lambda route: route.continue_() if held else held.append(route))
    page.evaluate("document.body.dispatchEvent(new Event('changed'))")
    wait_until(lambda: page.wait_for_timeout(20) or held, description="the part is asked for")
    press_grip(page, 2)
    drag_over(page, 0)
    page.locator("#queue").evaluate("part => { part.dataset.seen = 'yes' }")
    with page.expect_event("requestfinished"):
        held[0].continue_()
    page.evaluate("new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    expect(page.locator("#queue[data-seen] .is-gap-before")).to_have_count(1)
    page.keyboard.press("Escape")
    page.mouse.up()
    expect(page.locator("#queue[data-seen]")).to_have_count(0)
    page.unroute_all(behavior="wait")


def test_updates_wait_while_a_row_is_dragged(page: Page, rows: Locator, waiting: Fourwalls):
    press_grip(page, 2)
    drag_over(page, 0)
    page.locator("#queue").evaluate("part => { part.dataset.seen = 'yes' }")
    with page.expect_event("console", lambda message: message.text == "heard"):
        page.evaluate("document.addEventListener('live:job', () => console.log('heard'))")
        submit(waiting, "late")
    page.wait_for_timeout(1500)  # longer than the delay of a refresh
    expect(page.locator("#queue[data-seen]")).to_have_count(1)
    page.keyboard.press("Escape")
    page.mouse.up()
    expect(rows).to_have_text([*NAMES, "late"])


@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_queue_fits_every_screen(page_like, waiting: Fourwalls, width: int, theme: str):
    page = page_like(viewport={"width": width, "height": 844}, color_scheme=theme)
    page.goto("/queue/")
    expect(page.locator("tr[data-job]").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
