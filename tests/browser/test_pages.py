"""Every page with real rows in it, in both themes: nothing may be in the console, whatever is done with the charts."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.browser.conftest import listened, submit
from tests.running import Headroom

pytestmark = [pytest.mark.browser, pytest.mark.ranks, pytest.mark.timeout(300)]

LONG_STEPS = 5_000
SPIKE_STEP = 2_345
# A run logged without a job: long enough for buckets, with one step that stands out.
LOG_LONG_RUN = f"""
import time
from jobs import series
from jobs.models import Membership, Run
member = Membership.objects.select_related("team", "user").first()
run = Run.objects.create(team=member.team, owner=member.user, name="long")
now = time.time()
points = [
    series.Point("loss", "run", step, now + step / 10, 90.0 if step == {SPIKE_STEP} else 5.0 + step % 7 / 10)
    for step in range({LONG_STEPS})
]
series.append(run.id, 0, "test", 0, points)
print("run:" + run.id)
"""


@pytest.fixture(scope="module")
def trained(person: BrowserContext) -> str:
    """The address of a run that has really trained to its end."""
    page = listened(person.new_page(), [])
    submit(page, "trained", "60")
    expect(page.locator("#run-head")).to_contain_text("succeeded", timeout=120_000)
    address = page.url
    page.close()
    return address


@pytest.fixture(scope="module")
def long(headroom: tuple[Headroom, str]) -> str:
    printed = headroom[0].manage("shell", "-c", LOG_LONG_RUN).stdout
    found = re.search(r"run:(\w+)", printed)
    assert found, printed
    return f"/runs/{found.group(1)}/"


def chart(page: Page, metric: str) -> Locator:
    panel = page.locator(f"[data-metrics~='{metric}']").first
    expect(panel).to_have_attribute("data-state", "drawn", timeout=20_000)
    return panel


def drag(page: Page, over: Locator, start: float, end: float) -> None:
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    assert box
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * start, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * end, middle, steps=5)
    page.mouse.up()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    "path",
    [
        "/jobs/",
        "/runs/",
        "/runs/?sort=-loss",
        "/compare/",
        "/pools/",
        "/submit/",
        "RUN",
        "COMPARE",
        "/jobs/?q=nothing",
    ],
)
def test_a_page_with_rows_opens_in_both_themes(
    page_like: Callable[..., Page], trained: str, long: str, theme: str, path: str
):
    ids = re.findall(r"/runs/(\w+)/", trained + long)
    path = {"RUN": trained, "COMPARE": f"/compare/?run={ids[0]}&run={ids[1]}"}.get(path, path)
    page = page_like(color_scheme=theme)
    page.goto(path)
    expect(page.locator("html")).to_have_attribute("data-bs-theme", theme)
    expect(page.locator("[data-link-state]")).to_have_attribute("data-state", "live")
    assert page.locator("h1").count() == 1
    if page.locator("[data-charts]").count():
        chart(page, "loss")


def test_a_missing_page_has_a_way_out(person: BrowserContext):
    page = person.new_page()  # the console names the 404 itself, and should
    answer = page.goto("/runs/nothere/")
    assert answer and answer.status == 404
    page.get_by_role("link", name="To the jobs").click()
    page.wait_for_url("**/jobs/")
    page.close()


def test_the_charts_of_a_run_end_with_what_was_not_measured(page: Page, trained: str):
    page.goto(trained)
    chart(page, "tokens_per_s")
    absent = page.locator(".panel[data-state='absent']").first
    expect(absent).to_contain_text("not measured")
    drawn = page.locator("#learning .panel[data-state='drawn']").first.bounding_box()
    box = absent.bounding_box()
    assert box and drawn and box["height"] < drawn["height"] / 2


def test_dragging_zooms_to_every_point_and_the_address_shows_the_same_part(page: Page, long: str):
    page.goto(long)
    loss = chart(page, "loss")
    expect(loss.locator("[data-note]")).to_contain_text("points a bucket")
    drag(page, loss.locator(".u-over"), 0.45, 0.5)
    expect(loss.locator("[data-note]")).to_contain_text("every point")
    page.wait_for_url(re.compile(r"lo=\d+&hi=\d+"))
    shared = page.url
    page.goto("/jobs/")
    page.goto(shared)
    loss = chart(page, "loss")
    expect(loss.locator("[data-note]")).to_contain_text("every point")
    expect(page.locator("[data-reset]")).to_be_visible()
    page.locator("[data-reset]").click()
    expect(loss.locator("[data-note]")).to_contain_text("points a bucket")
    assert "lo=" not in page.url


def test_keys_move_the_cursor_and_zoom_around_it(page: Page, long: str):
    page.goto(long)
    loss = chart(page, "loss")
    loss.locator(".chart").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    expect(loss.locator("[data-spoken]")).to_contain_text("step")
    page.keyboard.press("+")
    page.wait_for_url(re.compile("hi="))
    page.keyboard.press("Escape")
    expect(page.locator("[data-reset]")).to_be_hidden()


def test_every_switch_of_a_chart_works(page: Page, long: str):
    page.goto(long)
    loss = chart(page, "loss")
    loss.locator("[data-act=log]").click()
    for axis in ("relative", "time", "tokens", "step"):
        page.locator(f"[data-axis={axis}]").click()
        expect(page.locator(f"[data-axis={axis}]")).to_have_attribute("aria-pressed", "true")
    expect(loss).to_have_attribute("data-state", "drawn")
    loss.locator("summary").click()
    loss.locator("[data-act=table]").click()
    expect(page.locator(".table-dialog")).to_contain_text("Least")
    page.keyboard.press("Escape")


def test_two_fingers_zoom_and_one_reads(page_like: Callable[..., Page], long: str):
    page = page_like(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page.goto(long)
    loss = chart(page, "loss")
    over = loss.locator(".u-over")
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    assert box
    x, y, width = box["x"], box["y"] + box["height"] / 2, box["width"]
    page.touchscreen.tap(x + width * 0.4, y)
    expect(loss.locator(".tip")).to_be_visible()
    touch = page.context.new_cdp_session(page)
    for kind, spread in (("touchStart", 0.1), ("touchMove", 0.2), ("touchMove", 0.3), ("touchEnd", None)):
        points = [] if spread is None else [
            {"x": x + width * (0.5 - spread), "y": y, "id": 1}, {"x": x + width * (0.5 + spread), "y": y, "id": 2}
        ]  # fmt: skip
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    page.wait_for_url(re.compile("lo="))
    lo, hi = (int(re.search(rf"{end}=(\d+)", page.url)[1]) for end in ("lo", "hi"))
    assert LONG_STEPS / 5 < hi - lo < LONG_STEPS / 2


def test_runs_are_put_in_order_and_chosen_by_keys(page: Page, trained: str, long: str):
    page.goto("/runs/")
    page.get_by_role("link", name="Steps").click()
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("Steps")
    assert "sort=-steps" in page.url
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("x")
    expect(page.locator("[data-chosen]")).to_have_text("2")
    page.get_by_role("link", name="Owner").click()
    expect(page.locator("th[aria-sort=ascending]")).to_contain_text("Owner")
    expect(page.locator("input[name=run]:checked")).to_have_count(2)
    page.keyboard.press("c")
    page.wait_for_url(re.compile(r"/compare/\?run=\w+&run=\w+"))


def test_a_question_mark_shows_the_keys(page: Page, trained: str):
    page.goto("/jobs/")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()


def test_on_a_phone_a_strip_leads_to_each_part_of_the_run(page_like: Callable[..., Page], trained: str):
    page = page_like(viewport={"width": 390, "height": 844})
    page.goto(trained)
    for name, part in {"Story": "#story", "Log": "#logs", "Spec": "#spec"}.items():
        page.locator(".run-strip").get_by_role("link", name=name).click()
        expect(page.locator(part)).to_be_in_viewport()
        expect(page.locator(".run-strip")).to_be_in_viewport()
        expect(page.locator("#run-now")).to_contain_text("trained")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
