"""Chromium and a running Fourwalls, shared by the tests of one module."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.running import Fourwalls, free_port, wait_until

# Background traffic of the browser itself is refused on closed networks and would show up as console errors.
CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--no-first-run"]  # fmt: skip
expect.set_options(
    timeout=20_000
)  # on two busy cores an answer takes its time; five seconds were too few at load 20
TINY = {
    "model.layers": "2", "model.width": "32", "model.heads": "2", "model.ffn_width": "64", "model.context": "32",
    "batch.global_batch_size": "8", "batch.micro_batch_size": "4", "optimiser.warmup_steps": "2",
    "budget.validate_every": "10",
}  # fmt: skip


@pytest.fixture(scope="module")
def fourwalls(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Fourwalls, str]]:
    """A running Fourwalls and its one-time link, with a fork server for modules that train."""
    warm = {"FOURWALLS_FORK_SERVER": "1" if request.node.get_closest_marker("ranks") else "0"}
    running = Fourwalls(tmp_path_factory.mktemp("browser"), free_port(), warm).start("--no-demo")
    try:
        yield running, running.wait_for_link()
    finally:
        running.interrupt()
        running.kill()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not found:
        (pytest.fail if os.environ.get("FOURWALLS_REQUIRE_ALL") else pytest.skip)("Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def person(chromium: Browser, fourwalls: tuple[Fourwalls, str]) -> BrowserContext:
    """A browser context logged in by the one-time link, with a desktop screen and the light theme."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, base_url=fourwalls[0].url)
    page = context.new_page()
    page.goto(fourwalls[1])
    page.close()
    return context


@pytest.fixture
def console_errors() -> Iterator[list[str]]:
    """Console errors of this test's pages; there must be none at the end."""
    heard: list[str] = []
    yield heard
    assert heard == []


@pytest.fixture
def page(person: BrowserContext, console_errors: list[str]) -> Iterator[Page]:
    page = collect_console_errors(person.new_page(), console_errors)
    yield page
    page.close()


@pytest.fixture
def page_like(
    chromium: Browser, person: BrowserContext, fourwalls: tuple[Fourwalls, str], console_errors: list[str]
) -> Iterator[Callable[..., Page]]:
    """page_like(color_scheme='dark'): a page of the same person on another device."""
    contexts: list[BrowserContext] = []

    def make(**device: object) -> Page:
        values = {"viewport": {"width": 1440, "height": 900}, "base_url": fourwalls[0].url} | device
        context = chromium.new_context(storage_state=person.storage_state(), **values)
        contexts.append(context)
        return collect_console_errors(context.new_page(), console_errors)

    yield make
    for context in contexts:
        context.close()


def collect_console_errors(page: Page, console_errors: list[str]) -> Page:
    def hear(message) -> None:
        if message.type == "error":
            console_errors.append(f"{message.text} {message.location}")

    page.on("console", hear)
    page.on("pageerror", lambda error: console_errors.append(str(error)))
    return page


def submit(page: Page, name: str, steps: str) -> None:
    wait_until(
        lambda: page.request.get("/api/v1/nodes").json()["items"],
        description="the node, without which no spec fits",
    )
    page.goto("/submit/")
    for field, value in {"name": name, "budget.steps": steps, **TINY}.items():
        page.locator(f"#spec-form [name='{field}']").fill(value)
    expect(page.locator("#yaml")).to_have_value(re.compile(f"name: {name}"))
    page.locator("#go").click()
    page.wait_for_url("**/runs/*/")
