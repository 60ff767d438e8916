"""Reused request threads: each keeps its connection, and no request waits for work that another left behind."""

from __future__ import annotations

import asyncio
import threading

import pytest
from asgiref.sync import sync_to_async

from dashboard.server import threads


@pytest.fixture(autouse=True)
def none_idle(monkeypatch):
    """Threads of its own for each test."""
    monkeypatch.setattr(threads, "_idle", type(threads._idle)())
    yield
    for thread in list(threads._idle):
        thread.shutdown()


async def call(view, path="/runs/"):
    async def django(scope, receive, send):
        await sync_to_async(view)()

    await threads.reuse_threads(django)({"type": "http", "path": path}, None, None)


def record_thread(found):
    return lambda: found.append(threading.current_thread())


async def wait_for_idle(number):
    while len(threads._idle) < number:
        await asyncio.sleep(0.001)


def test_the_next_request_runs_in_the_thread_of_the_last():
    found = []

    async def twice():
        await call(record_thread(found))
        await wait_for_idle(1)
        await call(record_thread(found))

    asyncio.run(twice())
    assert found[0] is found[1]


def test_requests_at_the_same_time_have_threads_of_their_own():
    found, both = [], threading.Barrier(2, timeout=30)

    def view():
        both.wait()
        found.append(threading.current_thread())

    async def together():
        await asyncio.gather(call(view), call(view))

    asyncio.run(together())
    assert found[0] is not found[1]


def test_a_thread_that_still_works_for_a_disconnected_client_is_not_reused():
    found, may_continue, has_started = [], threading.Event(), threading.Event()

    def slow():
        has_started.set()
        may_continue.wait(30)

    async def disconnect_and_call():
        gone = asyncio.create_task(call(slow))
        await asyncio.to_thread(has_started.wait, 30)
        gone.cancel()
        await call(record_thread(found))  # would wait for ever behind the slow one
        may_continue.set()
        await wait_for_idle(2)

    asyncio.run(disconnect_and_call())
    assert len(found) == 1


def test_threads_beyond_the_limit_close_their_connections(monkeypatch):
    monkeypatch.setattr(threads, "IDLE_LIMIT", 1)
    closed, both = threading.Event(), threading.Barrier(2, timeout=30)
    monkeypatch.setattr(threads.connections, "close_all", closed.set)

    async def together():
        await asyncio.gather(call(both.wait), call(both.wait))

    asyncio.run(together())
    assert closed.wait(30) and len(threads._idle) == 1


def test_a_live_stream_uses_no_thread():
    found = []
    asyncio.run(call(record_thread(found), threads.LIVE_PATH))
    assert found and not threads._idle
