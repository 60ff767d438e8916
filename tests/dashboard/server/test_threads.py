"""Bounded request threads: each keeps its connection, and no request waits for work that another left behind."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from asgiref.sync import ThreadSensitiveContext, sync_to_async

from dashboard.server import threads

BODY_END = {"type": "http.request", "body": b"", "more_body": False}
START = {"type": "http.response.start", "status": 200}


class Served:
    """An application around a synchronous view."""

    def __init__(self, limit=20, headers=()):
        self.headers = list(headers)
        self.threads = threads.RequestThreads(limit)
        self.application = threads.reuse_threads(self._django, self.threads)
        self.view = None
        self.after_start = None

    async def _django(self, scope, receive, send):
        if (await receive())["type"] == "http.disconnect":
            return
        await sync_to_async(self.view)()
        await send(START | {"headers": self.headers})
        if self.after_start:
            await self.after_start()
            await sync_to_async(lambda: None)()  # as Django closes its response

    async def call(self, view, path="/runs/", receive=None):
        async def body():
            return BODY_END

        async def send(message):
            return None

        self.view = view
        await self.application({"type": "http", "path": path}, receive or body, send)

    async def wait_for_idle(self, number):
        while len(self.threads.idle) < number:
            await asyncio.sleep(0.001)


@pytest.fixture
def served():
    found = Served()
    yield found
    for thread in list(found.threads.idle):
        thread.shutdown()


def record_thread(found):
    return lambda: found.append(threading.current_thread())


def test_the_next_request_runs_in_the_thread_of_the_last(served):
    found = []

    async def twice():
        await served.call(record_thread(found))
        await served.wait_for_idle(1)
        await served.call(record_thread(found))

    asyncio.run(twice())
    assert found[0] is found[1]


def test_requests_at_the_same_time_have_threads_of_their_own(served):
    found, both = [], threading.Barrier(2, timeout=30)

    def view():
        both.wait()
        found.append(threading.current_thread())

    async def together():
        await asyncio.gather(served.call(view), served.call(view))

    asyncio.run(together())
    assert found[0] is not found[1]


def test_a_thread_that_still_works_for_a_disconnected_client_is_not_reused(served):
    found, may_continue, has_started = [], threading.Event(), threading.Event()

    def slow():
        has_started.set()
        may_continue.wait(30)

    async def disconnect_and_call():
        gone = asyncio.create_task(served.call(slow))
        await asyncio.to_thread(has_started.wait, 30)
        gone.cancel()
        await served.call(record_thread(found))  # would wait for ever behind the slow one
        may_continue.set()
        await served.wait_for_idle(2)

    asyncio.run(disconnect_and_call())
    assert len(found) == 1


def test_threads_beyond_the_limit_close_their_connections(served, monkeypatch):
    monkeypatch.setattr(threads, "IDLE_LIMIT", 1)
    closed, both = threading.Event(), threading.Barrier(2, timeout=30)
    monkeypatch.setattr(threads.connections, "close_all", closed.set)

    async def together():
        await asyncio.gather(served.call(both.wait), served.call(both.wait))

    asyncio.run(together())
    assert closed.wait(30) and len(served.threads.idle) == 1


def test_no_more_requests_than_the_limit_run_at_a_time():
    served, running, most = Served(limit=3), [0], [0]
    lock = threading.Lock()

    def view():
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        threading.Event().wait(0.005)
        with lock:
            running[0] -= 1

    async def many():
        await asyncio.gather(*(served.call(view) for _ in range(60)))

    asyncio.run(many())
    assert most[0] == 3


def test_a_request_that_waits_too_long_is_refused(monkeypatch):
    monkeypatch.setattr(threads, "WAIT_S", 0.02)
    served, may_continue = Served(limit=1), threading.Event()

    async def two():
        first = asyncio.create_task(served.call(lambda: may_continue.wait(30)))
        await asyncio.sleep(0.01)
        with pytest.raises(threads.ServerBusy):
            await served.call(lambda: None)
        may_continue.set()
        await first
        await served.wait_for_idle(1)
        await asyncio.sleep(0)
        await served.call(lambda: None)

    asyncio.run(two())


def test_a_client_that_leaves_while_it_waits_gives_its_turn_to_the_next():
    served, may_continue, found = Served(limit=1), threading.Event(), []

    async def three():
        first = asyncio.create_task(served.call(lambda: may_continue.wait(30)))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(served.call(lambda: None))
        await asyncio.sleep(0.01)
        second.cancel()
        may_continue.set()
        await first
        await served.call(record_thread(found))

    asyncio.run(three())
    assert found


def test_a_body_that_still_comes_takes_no_thread():
    served, may_end, found = Served(limit=1), None, []

    async def slow_and_fast():
        nonlocal may_end
        may_end = asyncio.Event()

        async def slow_body():
            await may_end.wait()
            return BODY_END

        slow = asyncio.create_task(served.call(record_thread(found), receive=slow_body))
        await asyncio.sleep(0.01)
        await served.call(record_thread(found))
        may_end.set()
        await slow

    asyncio.run(slow_and_fast())
    assert len(found) == 2


def test_a_slow_download_holds_no_thread():
    headers = [(b"Content-Disposition", b"attachment"), (b"Content-Length", b"5")]
    served, found = Served(limit=1, headers=headers), []

    async def slow_and_fast():
        taken = asyncio.Event()
        served.after_start = taken.wait
        slow = asyncio.create_task(served.call(record_thread(found)))
        while not found:
            await asyncio.sleep(0.001)
        served.after_start = None
        await served.call(record_thread(found))
        taken.set()
        await slow

    asyncio.run(slow_and_fast())
    assert len(found) == 2


def test_a_live_stream_keeps_neither_a_thread_nor_a_turn():
    served, found = Served(limit=1), []

    async def stream_and_page():
        ended = asyncio.Event()
        served.after_start = ended.wait
        stream = asyncio.create_task(served.call(record_thread(found), threads.LIVE_PATH))
        while not found:
            await asyncio.sleep(0.001)
        served.after_start = None
        await served.call(record_thread(found))
        ended.set()
        await stream

    asyncio.run(stream_and_page())
    assert len(found) == 2


def test_a_live_stream_works_in_the_context_of_a_former_request_of_its_connection(served):
    """A paused connection is read on in the context of the request that resumed it."""
    contexts, found = [], []

    async def both():
        await served.call(lambda: None)
        executor = ThreadPoolExecutor(1)
        async with ThreadSensitiveContext(executor=executor):
            contexts.append(contextvars.copy_context())
        executor.shutdown()
        stream = served.call(record_thread(found), threads.LIVE_PATH)
        await asyncio.get_running_loop().create_task(stream, context=contexts[0])

    asyncio.run(both())
    assert len(found) == 1
