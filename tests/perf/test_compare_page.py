"""Compare page in a browser, with 50 runs x 12 charts, and the server's cost of 100 open tabs."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import statistics
import threading
import time

import psutil
import pytest
from playwright.sync_api import Browser, Response

from tests.browser.conftest import chromium  # noqa: F401  (fixture)
from tests.perf.bench_server import BenchServer, bench_server
from tests.perf.open_pages import GAP_S, OpenPage, follow_pages
from tests.running import wait_until

pytestmark = [pytest.mark.perf, pytest.mark.timeout(900)]

NUM_RUNS, NUM_CHARTS, STEPS = 50, 12, 10_000
DRAWN_TARGET_S = 1.5  # on two idle cores
SCRIPTS_TARGET_BYTES = 120_000
ROUNDS = 5
NUM_TABS = 100
LISTENED_S = 20.0
WRITES_PER_S = 2
TABS_TARGET_SHARE = 0.5  # of one core

# Seconds from the navigation until the last chart is drawn.
DRAWN = """count => {
    const drawn = document.querySelectorAll(".panel[data-state=drawn] canvas").length;
    if (drawn < count) return null;
    return new Promise((tell) => requestAnimationFrame(() => setTimeout(() => tell(performance.now() / 1000))));
}"""
EVENTS_SHARE, READ_SHARE = 0.8, 0.6  # of the events and reads of pages that are never late
SEEN_TARGET_S = 1.0
WRITE = """
import time
from jobs import series
from jobs.series import Point
for seq in range({writes}):
    at = time.time()
    series.append("{run}", 1, "{stream}", seq, [Point("m0", "run", {first} + seq, at, at)])
    time.sleep({gap})
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with bench_server(tmp_path_factory.mktemp("compare")) as found:
        yield found


@pytest.fixture(scope="module")
def runs(server: BenchServer) -> list[str]:
    return server.fill(NUM_RUNS, [f"m{number}" for number in range(NUM_CHARTS)], STEPS)


def test_fifty_runs_on_twelve_charts(server: BenchServer, runs: list[str], chromium: Browser):  # noqa: F811
    context = chromium.new_context(viewport={"width": 1440, "height": 1600}, base_url=server.fourwalls.url)
    page = context.new_page()
    page.goto(server.login_link())
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))
    script_bytes: list[int] = []
    seconds, cpu_s, browser_s = [], [], []
    for turn in range(ROUNDS):  # a different order each time, so that no response is cached
        address = "/compare/?" + "&".join(f"run={run}" for run in [*runs[turn:], *runs[:turn]])
        before, browser_before = server.process.cpu_times(), _browser_cpu_s()
        page.goto(address, wait_until="commit")
        page.wait_for_selector(".panel", state="attached")
        seconds.append(page.wait_for_function(DRAWN, arg=NUM_CHARTS, timeout=60_000).json_value())
        after = server.process.cpu_times()
        cpu_s.append(after.user + after.system - before.user - before.system)
        browser_s.append(_browser_cpu_s() - browser_before)
        script_bytes = script_bytes or [
            _gzipped(one) for one in answers if one.request.resource_type == "script"
        ]
    assert page.locator(".panel").count() == NUM_CHARTS
    context.close()
    print(
        f"\n{NUM_RUNS} runs x {NUM_CHARTS} charts x {STEPS:,} steps, load {os.getloadavg()[0]:.1f}: all drawn after "
        f"{statistics.median(seconds):.2f} s (median of {ROUNDS}; {min(seconds):.2f} to {max(seconds):.2f}), "
        f"{statistics.median(cpu_s):.2f} s CPU of the server, {statistics.median(browser_s):.2f} of the browser, "
        f"{len(script_bytes)} scripts of {sum(script_bytes) / 1e3:.0f} kB gzipped"
    )
    assert 0 < sum(script_bytes) < SCRIPTS_TARGET_BYTES
    assert statistics.median(seconds) < DRAWN_TARGET_S


def _gzipped(answer: Response) -> int:
    return len(gzip.compress(answer.body()))


def _browser_cpu_s() -> float:
    """CPU seconds of all processes of the test's browser."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "chrom" in process.name():
                times = process.cpu_times()
                total += times.user + times.system
    return total


@pytest.mark.parametrize("reads", [False, True], ids=["listening", "reading"])
def test_a_hundred_open_tabs(server: BenchServer, runs: list[str], reads: bool):
    """Pages of a run that grows twice a second.

    `reading`: each page fetches its chart as often as a real page, and one more fetches the new raw points,
    whose values are their times of writing.
    """
    writes = int(LISTENED_S * WRITES_PER_S)
    first = STEPS + (writes if reads else 0)
    pages = _tabs(server, runs[0], first, reads)
    stop, loop = asyncio.Event(), asyncio.new_event_loop()
    follower = threading.Thread(
        target=loop.run_until_complete, args=(follow_pages(pages, stop),), daemon=True
    )
    follower.start()
    call = WRITE.format(writes=writes, run=runs[0], gap=1 / WRITES_PER_S, first=first, stream=f"live{reads}")
    writer = threading.Thread(target=server.fourwalls.manage, args=("shell", "-v0", "-c", call))
    writer.start()
    wait_until(lambda: all(page.events for page in pages), description="the first event on every page")
    num_events, num_reads = sum(page.events for page in pages), sum(page.reads for page in pages)
    began, before = time.monotonic(), server.process.cpu_times()
    writer.join()
    after, seconds = server.process.cpu_times(), time.monotonic() - began
    num_events, num_reads = (
        sum(page.events for page in pages) - num_events,
        sum(page.reads for page in pages) - num_reads,
    )
    assert follower.is_alive(), "a page has failed"
    loop.call_soon_threadsafe(stop.set)
    follower.join()
    share = (after.user + after.system - before.user - before.system) / seconds
    late_s = sorted(pages[-1].late_s)
    age = (
        f", a point on the page after {statistics.median(late_s):.2f} s, {late_s[-1]:.2f} at the most"
        if reads
        else ""
    )
    print(
        f"\n{NUM_TABS} tabs {'that read' if reads else 'that listen'}, {WRITES_PER_S} writes a second for "
        f"{seconds:.0f} s, load {os.getloadavg()[0]:.1f}: {share:.1%} of a core, "
        f"{num_events:,} events, {num_reads:,} charts{age}"
    )
    assert share < TABS_TARGET_SHARE
    assert num_events > EVENTS_SHARE * len(pages) * WRITES_PER_S * seconds
    if reads:
        assert num_reads > READ_SHARE * len(pages) * min(WRITES_PER_S, 1 / GAP_S) * seconds
        assert late_s[-1] < SEEN_TARGET_S


def _tabs(server: BenchServer, run: str, first: int, reads: bool) -> list[OpenPage]:
    port, cookie, live = server.fourwalls.port, server.cookie(), f"/live?run={run}"
    chart = f"/api/v1/runs/{run}/series?metric=m0"
    if not reads:
        return [OpenPage(port, cookie, live) for _ in range(NUM_TABS)]
    same = [OpenPage(port, cookie, live, f"{chart}&points=400&format=packed") for _ in range(NUM_TABS)]
    return [*same, OpenPage(port, cookie, live, f"{chart}&lo={first}", measures_age=True)]
