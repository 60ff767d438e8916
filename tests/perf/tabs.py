"""Many open pages of one run in one event loop: each hears of the run, and may read its chart again as a page does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

GATHER_S, GAP_S = (
    0.05,
    0.5,
)  # as dashboard/static/js/chart/page.js waits between an event and a look, and between looks


@dataclass
class Tab:
    """What a page asks, by the cookie of its session, and what has come; `late_s` is how old each newest point was when
    it was here, of a chart that is JSON of points whose values are the seconds at which they were written."""

    port: int
    cookie: str
    live: str
    chart: str = ""  # '': it only listens
    tells_age: bool = False
    events: int = 0
    reads: int = 0
    late_s: list[float] = field(default_factory=list)


async def opened(tabs: Sequence[Tab], until: asyncio.Event) -> None:
    """A page that fails ends all, with its error."""
    work = [asyncio.create_task(_page(tab)) for tab in tabs]
    over = asyncio.create_task(until.wait())
    done, _ = await asyncio.wait([*work, over], return_when=asyncio.FIRST_COMPLETED)
    for task in (*work, over):
        task.cancel()
    await asyncio.gather(*work, over, return_exceptions=True)
    for task in done:
        task.result()


async def _page(tab: Tab) -> None:
    grown = asyncio.Event()
    async with asyncio.TaskGroup() as both:
        both.create_task(_listen(tab, grown))
        if tab.chart:
            both.create_task(_follow(tab, grown))


async def _listen(tab: Tab, grown: asyncio.Event) -> None:
    stream, out = await asyncio.open_connection("127.0.0.1", tab.port)
    try:
        _ask(out, tab, tab.live)
        while line := await stream.readline():
            if line.startswith(b"event: run"):
                tab.events += 1
                grown.set()
        raise AssertionError("the server has closed a stream")
    finally:
        out.close()


async def _follow(tab: Tab, grown: asyncio.Event) -> None:
    answer, out = await asyncio.open_connection("127.0.0.1", tab.port)
    looked_at = 0.0
    try:
        while await grown.wait():
            await asyncio.sleep(max(GATHER_S, looked_at + GAP_S - time.monotonic()))
            grown.clear()
            looked_at = time.monotonic()
            _ask(out, tab, tab.chart)
            body = await _body(answer)
            tab.reads += 1
            if tab.tells_age:
                (line,) = msgspec.json.decode(body)["series"]
                tab.late_s.append(time.time() - line["mean"][-1])
    finally:
        out.close()


def _ask(out: asyncio.StreamWriter, tab: Tab, path: str) -> None:
    out.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{tab.port}\r\nCookie: {tab.cookie}\r\n\r\n".encode())


async def _body(answer: asyncio.StreamReader) -> bytes:
    head = (await answer.readuntil(b"\r\n\r\n")).lower()
    assert head.startswith(b"http/1.1 200"), head
    size = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
    return await answer.readexactly(int(size.partition(b":")[2]))
