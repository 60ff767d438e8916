"""Requests take turns in a few threads that keep their connection; nobody waits behind what another has left there."""

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

    await threads.kept(django)({"type": "http", "path": path}, None, None)


def seen_by(found):
    return lambda: found.append(threading.current_thread())


async def all_given_back(number):
    while len(threads._idle) < number:
        await asyncio.sleep(0.001)


def test_the_next_request_runs_in_the_thread_of_the_last():
    found = []

    async def twice():
        await call(seen_by(found))
        await all_given_back(1)
        await call(seen_by(found))

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


def test_a_thread_that_still_works_for_a_caller_who_hung_up_is_not_lent_again():
    found, goes_on, has_begun = [], threading.Event(), threading.Event()

    def slow():
        has_begun.set()
        goes_on.wait(30)

    async def hang_up_and_call():
        gone = asyncio.create_task(call(slow))
        await asyncio.to_thread(has_begun.wait, 30)
        gone.cancel()
        await call(seen_by(found))  # would wait for ever behind the slow one
        goes_on.set()
        await all_given_back(2)

    asyncio.run(hang_up_and_call())
    assert len(found) == 1


def test_only_so_many_are_kept_and_the_others_close_their_connections(monkeypatch):
    monkeypatch.setattr(threads, "KEPT", 1)
    closed, both = threading.Event(), threading.Barrier(2, timeout=30)
    monkeypatch.setattr(threads.connections, "close_all", closed.set)

    async def together():
        await asyncio.gather(call(both.wait), call(both.wait))

    asyncio.run(together())
    assert closed.wait(30) and len(threads._idle) == 1


def test_a_live_stream_keeps_none():
    found = []
    asyncio.run(call(seen_by(found), threads.LIVE))
    assert found and not threads._idle
