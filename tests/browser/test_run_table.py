"""Run table in a real browser: filter, columns, keys, tags, live rows, address."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.running import Fourwalls

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

MAKE_RUNS = """
import time
from jobs import series
from jobs.tracking import params
from jobs.people import accounts
from jobs.tracking import external_runs
owner = accounts.ensure_first_team_and_user()
team = accounts.first_writable_team(owner)
for number in range(12):
    run = external_runs.create(team=team, owner=owner, name=f"run-{number:02}", origin="test")
    params.store(run, {"model.layers": str(4 + number % 3), "seed": str(number)})
    series.append(run.id, 0, "test", 0, [series.Point("loss", "run", 1, time.time(), 10.0 - number)])
"""
ADD_POINT = """
import time
from jobs import series
from jobs.models import Run
run = Run.objects.get(name="{name}")
series.append(run.id, 0, "test", {seq}, [series.Point("loss", "run", 2, time.time() + 9, {loss})])
"""


@pytest.fixture(scope="module", autouse=True)
def runs(fourwalls: tuple[Fourwalls, str]) -> None:
    fourwalls[0].manage("shell", "-c", MAKE_RUNS)


@pytest.fixture
def table(page: Page) -> Page:
    page.goto("/runs/?page=1")
    expect(page.locator("[data-link-state]")).to_have_attribute("data-state", "live")
    return page


def names(page: Page) -> list[str]:
    return page.locator("#runs .title").all_text_contents()


def test_a_filter_has_completion_and_points_at_errors(table: Page):
    table.keyboard.press("/")
    table.keyboard.type("lay")
    expect(table.locator("#filter-offers li").first).to_contain_text("model.layers")
    table.keyboard.press("Tab")
    expect(table.locator("#filter-offers li").first).to_contain_text("=")
    table.keyboard.type("= 4 and loss < 5")
    expect(table.locator("#runs .title")).to_have_text(["run-09", "run-06"])
    assert "filter=model.layers" in table.url
    table.keyboard.press("ControlOrMeta+a")
    table.keyboard.type("loss < abc")
    problem = table.locator("#filter-problem")
    expect(problem).to_contain_text("'abc' is not a number")
    assert problem.locator("mark").text_content() == "abc"
    expect(table.locator("#runs .title")).to_have_text(["run-09", "run-06"])  # the last good table stays


def test_the_address_restores_the_table(table: Page):
    table.locator("th[data-key='last(loss)'] .sort").click()
    expect(table.locator("#runs .title").first).to_have_text("run-11")
    table.get_by_role("button", name="Columns").click()
    table.get_by_placeholder("Find a column").fill("layers")
    table.locator("[data-pane=columns] label[data-offer='param:model.layers']").click()
    first = table.locator("[data-chosen-columns] li").last
    first.focus()
    for _ in range(10):
        table.keyboard.press("Alt+ArrowLeft")
    table.get_by_role("button", name="Apply", exact=True).click()
    heads = table.locator("#runs th[data-key]")
    expect(heads.nth(1)).to_have_attribute("data-key", "param:model.layers")
    before, address = names(table), table.url
    table.goto("/jobs/")
    table.goto(address)
    assert names(table) == before
    expect(table.locator("#runs th[data-key]").nth(1)).to_have_attribute("data-key", "param:model.layers")
    table.goto("/runs/")  # as it was left
    assert names(table) == before


def test_keys_select_rename_pin_and_hide(table: Page):
    for key in ("j", "x", "j", "j", "x"):
        table.keyboard.press(key)
    expect(table.locator("[data-chosen]")).to_have_text("2")
    table.keyboard.press("e")
    table.keyboard.type("renamed")
    table.keyboard.press("Enter")
    expect(table.locator("#runs .title", has_text="renamed")).to_be_focused()
    table.keyboard.press("p")
    expect(table.locator("#runs tr.is-pinned .title")).to_have_text("renamed")
    expect(table.locator("#runs .title").first).to_be_focused()
    table.keyboard.press("h")
    expect(table.locator("#runs tr.is-hidden .title")).to_have_text("renamed")
    expect(table.locator("[data-chosen]")).to_have_text("2")
    table.keyboard.press("Escape")
    expect(table.locator("[data-choose]")).to_be_hidden()


def test_selected_runs_are_tagged_and_found_by_tag(table: Page):
    table.goto("/runs/?filter=model.layers+%3D+5")
    table.locator("[data-tick-all]").check()
    table.keyboard.press("t")
    table.locator("#tag-add").fill("baseline, stage=final")
    table.keyboard.press("Enter")
    expect(table.locator(".toasts")).to_contain_text("4 runs tagged.")
    expect(table.locator("#runs .chip.is-tag", has_text="baseline")).to_have_count(4)
    table.locator("#runs .chip.is-tag", has_text="baseline").first.click()
    expect(table.locator("[data-filter] input")).to_have_value("tag:baseline")
    expect(table.locator("#runs .title")).to_have_count(4)


def test_archiving_is_confirmed_and_can_be_undone(table: Page):
    table.goto("/runs/?filter=model.layers+%3D+6")
    table.locator("[data-tick-all]").check()
    table.keyboard.press("a")
    expect(table.locator("#confirm")).to_contain_text("Archive 4 runs?")
    table.locator("#confirm").get_by_role("button", name="Archive runs").click()
    expect(table.locator("#runs")).to_contain_text("No run matches")
    table.goto("/runs/?filter=is:archived")
    table.locator("[data-tick-all]").check()
    table.get_by_role("button", name="Restore").click()
    table.locator("#confirm").get_by_role("button", name="Restore runs").click()
    expect(table.locator("#runs")).to_contain_text("No run matches")


def test_a_row_is_updated_in_place(table: Page, fourwalls: tuple[Fourwalls, str]):
    table.goto("/runs/?sort=name&filter=seed+%3D+2")
    table.keyboard.press("j")
    table.keyboard.press("x")
    row = table.locator("#runs tr[data-run]").first
    expect(row).to_contain_text("8")
    fourwalls[0].manage("shell", "-c", ADD_POINT.format(name=names(table)[0], seq=1, loss=1.25))
    expect(row).to_contain_text("1.25", timeout=15_000)
    expect(table.locator("#runs .title").first).to_be_focused()
    expect(table.locator("[data-chosen]")).to_have_text("1")


def test_a_group_expands_to_its_runs(table: Page):
    table.get_by_role("button", name="Group").click()
    table.locator("[data-pane=groups] [data-picker-find]").fill("layers")
    table.locator("[data-pane=groups] label[data-offer='param:model.layers']").click()
    table.get_by_role("button", name="Apply", exact=True).click()
    expect(table.locator("#runs tr[data-group]")).to_have_count(3)
    table.locator("#runs [data-expand]").first.click()
    expect(table.locator("#runs tr.is-in-group")).to_have_count(4)
    assert re.search(r"group=param:model.layers", table.url)
    table.goto("/runs/?page=1")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_the_table_fits_phone_and_desktop(page_like: Callable[..., Page], theme: str, width: int):
    page = page_like(color_scheme=theme, viewport={"width": width, "height": 844})
    page.goto("/runs/?page=1")
    expect(page.locator("#runs .title").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
