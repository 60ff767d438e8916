"""Pool map in a real browser: hover, keys, click, colours."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

COLOURS = ["team", "compute", "memory", "bandwidth", "power", "health"]
# What stands in the middle of the first device's cell.
PIXEL = """canvas => {
    const pen = canvas.getContext("2d"), found = new Set();
    for (let x = 0; x < canvas.width; x += 2) found.add(pen.getImageData(x, 14, 1, 1).data.join());
    return found.size;
}"""


@pytest.fixture
def drawn(page: Page) -> Page:
    page.goto("/pools/")
    expect(page.locator("#map canvas").first).to_be_visible()
    return page


def test_a_cell_shows_its_device_and_opens_its_node(drawn: Page):
    canvas = drawn.locator("#map canvas").first
    canvas.focus()
    tip = drawn.locator(".map-tip")
    expect(tip).to_contain_text("#0")
    expect(tip).to_contain_text("Compute")
    drawn.keyboard.press("ArrowRight")
    expect(tip).to_contain_text("#1")
    expect(drawn.locator("#map [data-spoken]")).to_contain_text("#1")
    drawn.keyboard.press("Enter")
    drawn.wait_for_url(re.compile(r"/nodes/[^/]+/$"))


def test_each_colouring_is_drawn_and_in_the_address(drawn: Page):
    for colour in COLOURS[1:]:
        drawn.locator(f"[data-colour={colour}]").click()
        expect(drawn.locator(f"[data-colour={colour}]")).to_have_attribute("aria-pressed", "true")
        assert drawn.locator("#map canvas").first.evaluate(PIXEL) > 1
        assert f"colour={colour}" in drawn.url
    drawn.reload()
    expect(drawn.locator("[data-colour=health]")).to_have_attribute("aria-pressed", "true")
    expect(drawn.locator("[data-legend]")).to_contain_text("ok 2")


def test_absent_readings_are_shown_with_their_reason(drawn: Page):
    drawn.locator("[data-colour=bandwidth]").click()
    expect(drawn.locator("[data-legend]")).to_contain_text("not measured on 2")


@pytest.mark.parametrize("width", [360, 1440, 2560])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_map_fits_every_screen(page_like, width: int, theme: str):
    page = page_like(viewport={"width": width, "height": 844}, color_scheme=theme)
    page.goto("/pools/")
    expect(page.locator("#map canvas").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
