"""All pages with rows in both themes: no console errors, whatever is done with charts."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.browser.conftest import collect_console_errors, submit
from tests.running import Fourwalls

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
    """Address of a run that has trained to its end."""
    page = collect_console_errors(person.new_page(), [])
    submit(page, "trained", "60")
    expect(page.locator("#run-head")).to_contain_text("succeeded", timeout=120_000)
    address = page.url
    page.close()
    return address


@pytest.fixture(scope="module")
def long(fourwalls: tuple[Fourwalls, str]) -> str:
    printed = fourwalls[0].manage("shell", "-c", LOG_LONG_RUN).stdout
    found = re.search(r"run:(\w+)", printed)
    assert found, printed
    return f"/runs/{found.group(1)}/"


def chart(page: Page, metric: str) -> Locator:
    panel = page.locator(f"[data-metrics~='{metric}']").first
    panel.scroll_into_view_if_needed()  # what is out of sight is not read
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
    page.get_by_role("link", name="Back to the overview").click()
    page.wait_for_url(lambda address: address.endswith("/"))
    page.close()


def test_absent_metrics_of_a_run_are_shown_in_their_charts(page: Page, trained: str):
    page.goto(f"{trained}charts/")
    chart(page, "tokens_per_s")
    absent = page.locator(".panel[data-state='absent']").first
    expect(absent).to_contain_text("not measured")
    drawn = page.locator("#learning .panel[data-state='drawn']").first.bounding_box()
    box = absent.bounding_box()
    assert box and drawn and box["height"] < drawn["height"] / 2


def test_dragging_zooms_to_raw_points_and_the_address_restores_it(page: Page, long: str):
    page.goto(f"{long}charts/")
    loss = chart(page, "loss")
    expect(loss.locator("[data-note]")).to_contain_text("averaged by")
    drag(page, loss.locator(".u-over"), 0.45, 0.5)
    expect(loss.locator("[data-note]")).not_to_contain_text("averaged")
    page.wait_for_url(re.compile(r"lo=\d+&hi=\d+"))
    shared = page.url
    page.goto("/jobs/")
    page.goto(shared)
    loss = chart(page, "loss")
    expect(loss.locator("[data-note]")).not_to_contain_text("averaged")
    expect(page.locator("[data-reset]")).to_be_visible()
    page.locator("[data-reset]").click()
    expect(loss.locator("[data-note]")).to_contain_text("averaged by")
    assert "lo=" not in page.url


def test_keys_move_the_cursor_and_zoom_around_it(page: Page, long: str):
    page.goto(f"{long}charts/")
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
    page.goto(f"{long}charts/")
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


@pytest.mark.parametrize("width", [360, 768])
@pytest.mark.parametrize("path", ["RUN", "COMPARE", "/runs/"])
def test_no_page_with_rows_scrolls_sideways(
    page_like: Callable[..., Page], trained: str, long: str, path: str, width: int
):
    ids = re.findall(r"/runs/(\w+)/", trained + long)
    page = page_like(viewport={"width": width, "height": 844})
    page.goto({"RUN": trained, "COMPARE": f"/compare/?run={ids[0]}&run={ids[1]}"}.get(path, path))
    if page.locator("[data-charts]").count():
        chart(page, "loss")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(
    ("unit", "start", "step", "texts"),
    [
        ("bytes", 0, 2**27, ["0", "128 MiB", "256 MiB", "384 MiB"]),
        ("bytes", 0, 2**29, ["0", "0.5 GiB", "1.0 GiB", "1.5 GiB"]),
        ("bytes_per_s", 0, 2**22, ["0", "4 MiB/s", "8 MiB/s", "12 MiB/s"]),
        ("s", 0, 0.2, ["0", "200 ms", "400 ms", "600 ms"]),
        ("s", 0, 30, ["0", "30 s", "1 min", "1 min 30 s"]),
        ("s", 7200, 15, ["2:00:00", "2:00:15", "2:00:30", "2:00:45"]),
        ("s", 1234.5, 0.01, ["20:34.50", "20:34.51", "20:34.52", "20:34.53"]),
        ("", 0, 0.00025, ["0", "0.00025", "0.00050", "0.00075"]),
        ("step", 12_340, 1, ["12,340", "12,341", "12,342", "12,343"]),
        ("tokens", 123_400_000, 1000, ["123.400 M", "123.401 M", "123.402 M", "123.403 M"]),
        ("tokens_per_s", 0, 5000, ["0", "5 k", "10 k", "15 k"]),
        ("share", 0, 0.005, ["0", "0.5 %", "1.0 %", "1.5 %"]),
    ],
)
def test_ticks_of_an_axis_share_a_unit_and_differ(
    page: Page, long: str, unit: str, start: float, step: float, texts: list[str]
):
    page.goto(f"{long}charts/")
    found = page.evaluate(
        """async ([address, unit, start, step]) => {
            const { tickLabels } = await import(address);
            return tickLabels([0, 1, 2, 3].map((count) => start + count * step), unit, step);
        }""",
        [loaded_module(page, "chart/ticks"), unit, start, step],
    )
    assert found == texts


@pytest.mark.parametrize(("values", "is_cut"), [([5.0] * 100 + [1e9], True), ([], False)])
def test_a_logarithmic_axis_never_reaches_zero(page: Page, long: str, values: list[float], is_cut: bool):
    """Its ticks down to 0 are without end: the page would freeze, with a floor of 0 as with no line at all."""
    page.goto(f"{long}charts/")
    ends = page.evaluate(
        """async ([address, values, cut]) => {
            const { Plot } = await import(address);
            const plot = new Plot({ unit: "", floor: 0, ceiling: null }, {});
            const y = Float64Array.from(values);
            if (y.length) plot.lines = [{ x: y.map((_, row) => row + 1), y, unsmoothed: null, low: null, high: null }];
            return plot.endsOf({ span: undefined, logX: true, logY: true, cut });
        }""",
        [loaded_module(page, "chart/plot"), values, is_cut],
    )
    assert ends["x"][0] > 0 and ends["y"][0] > 0


def loaded_module(page: Page, name: str) -> str:
    """The address of a module that the page has loaded, under its hashed name."""
    loaded = page.evaluate("performance.getEntriesByType('resource').map(one => one.name)")
    (address,) = [address for address in loaded if re.search(rf"{name}\.\w+\.js$", address)]
    return address


def test_two_fingers_zoom_and_one_reads(page_like: Callable[..., Page], long: str):
    page = page_like(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page.goto(f"{long}charts/")
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


def test_runs_are_sorted_and_selected_by_keys(page: Page, trained: str, long: str):
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


def test_a_question_mark_shows_the_keyboard_shortcuts(page: Page, trained: str):
    page.goto("/jobs/")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()


LOG_WITHOUT_POWER = """
from jobs.models import Membership, Run
member = Membership.objects.select_related("team", "user").first()
missing = {"device:a-0": {"power_w": ["denied", "Only root may read it."]}}
run = Run.objects.create(team=member.team, owner=member.user, name="quiet", missing=missing)
print("run:" + run.id)
"""
POWER_COMES = """
import time
from jobs import series
points = [series.Point("power_w", "device:a-0", None, time.time() + tick, 55.0) for tick in range(5)]
series.append("{run}", 0, "test", 0, points)
"""


def test_an_absent_metric_becomes_a_chart_when_a_value_arrives(page: Page, fourwalls: tuple[Fourwalls, str]):
    printed = fourwalls[0].manage("shell", "-c", LOG_WITHOUT_POWER).stdout
    run = re.search(r"run:(\w+)", printed)[1]
    page.goto(f"/runs/{run}/charts/")
    power = page.locator("[data-metrics=power_w]")
    expect(power).to_have_attribute("data-state", "absent")
    expect(power).to_contain_text("denied: Only root may read it.")
    expect(page.locator("[data-link-state]")).to_have_attribute("data-state", "live")
    fourwalls[0].manage("shell", "-c", POWER_COMES.format(run=run))
    expect(power).to_have_attribute("data-state", "drawn", timeout=20_000)
    expect(power.locator("[data-note]")).to_contain_text("partly not measured")
