"""Simulated open pages of one run, in one event loop.

Each page receives the run's events and may read its chart again, like a real page.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

GATHER_S, GAP_S = (
    0.05,
    0.5,
)  # delays in dashboard/static/js/chart/page.js: from an event to a read, and between reads


@dataclass
class OpenPage:
    """Requests of one page, with the cookie of its session, and what it has received.

    `late_s` is the age of each newest point on arrival. It needs a JSON chart whose values are the times of writing.
    """

    port: int
    cookie: str
    live: str
    chart: str = ""  # '': the page only listens
    measures_age: bool = False
    events: int = 0
    reads: int = 0
    late_s: list[float] = field(default_factory=list)


async def follow_pages(pages: Sequence[OpenPage], until: asyncio.Event) -> None:
    """Run all pages until the event; a page that fails ends all of them with its error."""
    work = [asyncio.create_task(_run_page(page)) for page in pages]
    over = asyncio.create_task(until.wait())
    done, _ = await asyncio.wait([*work, over], return_when=asyncio.FIRST_COMPLETED)
    for task in (*work, over):
        task.cancel()
    await asyncio.gather(*work, over, return_exceptions=True)
    for task in done:
        task.result()


async def _run_page(page: OpenPage) -> None:
    has_grown = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(_listen(page, has_grown))
        if page.chart:
            group.create_task(_follow(page, has_grown))


async def _listen(page: OpenPage, has_grown: asyncio.Event) -> None:
    stream, out = await asyncio.open_connection("127.0.0.1", page.port)
    try:
        _send_request(out, page, page.live)
        while line := await stream.readline():
            if line.startswith(b"event: run"):
                page.events += 1
                has_grown.set()
        raise AssertionError("the server has closed a stream")
    finally:
        out.close()


async def _follow(page: OpenPage, has_grown: asyncio.Event) -> None:
    answer, out = await asyncio.open_connection("127.0.0.1", page.port)
    last_read_at = 0.0
    try:
        while await has_grown.wait():
            await asyncio.sleep(max(GATHER_S, last_read_at + GAP_S - time.monotonic()))
            has_grown.clear()
            last_read_at = time.monotonic()
            _send_request(out, page, page.chart)
            body = await _read_body(answer)
            page.reads += 1
            if page.measures_age:
                (line,) = msgspec.json.decode(body)["series"]
                page.late_s.append(time.time() - line["mean"][-1])
    finally:
        out.close()


def _send_request(out: asyncio.StreamWriter, page: OpenPage, path: str) -> None:
    out.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nCookie: {page.cookie}\r\n\r\n".encode())


async def _read_body(answer: asyncio.StreamReader) -> bytes:
    head = (await answer.readuntil(b"\r\n\r\n")).lower()
    assert head.startswith(b"http/1.1 200"), head
    size = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
    return await answer.readexactly(int(size.partition(b":")[2]))
