"""Trade-offs page in a real browser: brush, address, saved view."""

from __future__ import annotations

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.running import Fourwalls

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

LOG_RUNS = """
from jobs import series
from jobs.tracking import params
from jobs.tracking import external_runs
from jobs.models import Membership
from jobs.series import Point
member = Membership.objects.select_related("team", "user").first()
for number in range(20):
    run = external_runs.create(team=member.team, owner=member.user, name=f"trial {number}", origin="fourwalls")
    params.store(run, {"lr": str(10 ** -(1 + number % 4)), "optimiser": ("adamw", "sgd")[number % 2]})
    values = {"loss": 1.0 + number, "tokens_per_s": 100.0 + 10 * number}
    series.append(run.id, 1, "s", 0, [Point(key, "run", 1, 1.0, value) for key, value in values.items()])
"""


@pytest.fixture(scope="module", autouse=True)
def twenty_runs(fourwalls: tuple[Fourwalls, str], person: BrowserContext) -> None:
    fourwalls[0].manage("shell", "-c", LOG_RUNS)


def brush_last_axis(page: Page) -> None:
    """Brush the lower half of the rightmost axis."""
    page.locator("[data-parallel]").scroll_into_view_if_needed()
    frame = page.locator("[data-parallel]").bounding_box()
    assert frame
    left = frame["x"] + frame["width"] - 40
    page.mouse.move(left, frame["y"] + frame["height"] - 18)
    page.mouse.down()
    page.mouse.move(left, frame["y"] + frame["height"] / 2, steps=5)
    page.mouse.up()


def test_a_brush_selects_runs_in_table_and_address(page: Page) -> None:
    page.goto("/trade-offs/?y=last(loss)&x=last(tokens_per_s)&axis=param:lr&axis=last(loss)")
    expect(page.locator("[data-scatter-note]")).to_contain_text("20 of 20 Pareto-optimal")
    brush_last_axis(page)
    expect(page.locator("[data-kept]")).to_contain_text("of 20 runs kept")
    text = page.locator("[data-kept]").inner_text()
    kept = int(text.split(" ")[0])
    assert 5 <= kept <= 15
    expect(page.locator("[data-table] tbody tr")).to_have_count(kept)
    page.reload()
    expect(page.locator("[data-kept]")).to_have_text(text)
    page.locator("[data-clear]").click()
    expect(page.locator("[data-table] tbody tr")).to_have_count(20)


def test_goals_are_reversed_and_the_pareto_front_follows(page: Page) -> None:
    page.goto("/trade-offs/?y=last(loss)&x=last(tokens_per_s)")
    page.locator("[data-best=y]").click()
    expect(page.locator("[data-best=y]")).to_have_text("more is better")
    expect(page.locator("[data-scatter-note]")).to_contain_text("1 of 20 Pareto-optimal")
    expect(page.locator("[data-table] tbody tr").first).to_contain_text("trial 19")


def test_axes_are_moved_and_removed(page: Page) -> None:
    page.goto("/trade-offs/?axis=param:lr&axis=param:optimiser&axis=last(loss)")
    page.get_by_role("button", name="Move optimiser one to the left").click()
    expect(page.locator(".axis-chip").first).to_contain_text("optimiser")
    page.get_by_role("button", name="Remove lr").click()
    expect(page.locator(".axis-chip")).to_have_count(2)


def test_a_saved_view_restores_the_brush(page: Page) -> None:
    page.goto("/trade-offs/?axis=param:lr&axis=last(loss)")
    expect(page.locator("[data-table] tbody tr")).to_have_count(20)
    brush_last_axis(page)
    expect(page.locator("[data-kept]")).to_contain_text("of 20 runs kept")
    text = page.locator("[data-kept]").inner_text()
    page.locator("[data-saved] summary").click()
    page.get_by_label("Save this view as").fill("the better half")
    page.locator(".saved-form button").click()
    expect(page.locator(".messages")).to_contain_text("the better half is saved")
    expect(page.locator("[data-kept]")).to_have_text(text)


@pytest.mark.parametrize("device", [{"width": 390, "height": 844}, {"width": 1440, "height": 900}])
@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_the_page_fits_every_screen(page_like, device, color_scheme) -> None:
    page = page_like(viewport=device, color_scheme=color_scheme)
    page.goto("/trade-offs/?colour=param:optimiser")
    expect(page.locator("[data-colours]")).to_contain_text("adamw")
    assert page.evaluate("document.documentElement.scrollWidth") <= device["width"]
