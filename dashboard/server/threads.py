"""Bounded pool of request threads, each with its database connection.

Django gives each request a new thread, and so a new connection with an empty cache. That costs 5 to 8 ms of CPU per
request on SQLite and more on PostgreSQL (measured 2026-11-27, load 20). Here requests share a bounded number of
threads, so that the connections of a web process are bounded too. A request waits for a thread once its body has come;
if none is free in time, the reply is 503 with Retry-After.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

from asgiref.sync import ThreadSensitiveContext
from django.db import connections

IDLE_LIMIT = 8  # threads that stay with their connections between requests
WAIT_S = 15.0  # for a thread
WAITING_LIMIT = 1_000  # requests that wait for a thread
LIVE_PATH = "/live"  # lasts for hours: needs a turn only until its first event

Message = dict[str, Any]
Receive = Callable[[], Coroutine[Any, Any, Message]]
Send = Callable[[Mapping[str, Any]], Coroutine[Any, Any, None]]
App = Callable[[Message, Receive, Send], Coroutine[Any, Any, None]]


class ServerBusy(Exception):
    """No thread was free in time."""


class RequestThreads:
    """Turns, threads and waiting requests of one event loop."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.idle: deque[ThreadPoolExecutor] = deque()
        self._num_taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take_turn(self) -> None:
        """Wait until fewer than `limit` requests have a thread. Raises ServerBusy."""
        if self._num_taken < self.limit:
            self._num_taken += 1
            return
        if len(self._waiting) >= WAITING_LIMIT:
            raise ServerBusy
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await asyncio.wait_for(turn, WAIT_S)
        except TimeoutError:
            self._waiting.remove(turn)
            raise ServerBusy from None
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.end_turn()  # it came at the same moment
            raise

    def end_turn(self) -> None:
        """Give the turn to the request that has waited longest. Runs in the event loop."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._num_taken -= 1

    def borrow(self) -> ThreadPoolExecutor:
        """Return the thread that was used last, whose cache is warm, or a new one."""
        return self.idle.pop() if self.idle else ThreadPoolExecutor(1, "request")

    def give_back(self, thread: ThreadPoolExecutor, loop: asyncio.AbstractEventLoop) -> None:
        """Return the thread and the turn. Runs in that thread, behind work that a disconnected client left there."""
        if len(self.idle) < IDLE_LIMIT:
            self.idle.append(thread)
        else:
            connections.close_all()
            thread.shutdown(wait=False)
        if not loop.is_closed():
            loop.call_soon_threadsafe(self.end_turn)


# Closes responses whose thread has gone back; has no connection of its own.
_closing = ThreadPoolExecutor(1, "closing")


class _LateThread(Executor):
    """The executor of one request. Its thread is borrowed when the body has come."""

    thread: ThreadPoolExecutor | None = None
    is_back = False

    def submit(self, call: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        assert self.thread is not None, "Django used a thread before it had read the body"
        return (_closing if self.is_back else self.thread).submit(call, *arguments, **options)


def reuse_threads(django: App, threads: RequestThreads) -> App:
    """Wrap `django` so that each request runs in a thread of its own from a bounded pool. Raises ServerBusy."""

    async def application(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await django(scope, receive, send)
        if scope["path"] == LIVE_PATH:
            return await _open_stream(threads, django, scope, receive, send)
        executor = _LateThread()

        async def receive_then_wait() -> Message:
            message = await receive()
            is_read = message["type"] == "http.request" and not message.get("more_body")
            if is_read and executor.thread is None:
                await threads.take_turn()
                executor.thread = threads.borrow()
            return message

        async def send_and_return(message: Mapping[str, Any]) -> None:
            await send(message)
            if is_file_download(message):  # no view runs any more, and a slow client must not hold a thread
                _give_back(threads, executor)

        try:
            async with ThreadSensitiveContext(executor=executor):
                await django(scope, receive_then_wait, send_and_return)
        finally:
            _give_back(threads, executor)

    return application


def is_file_download(message: Mapping[str, Any]) -> bool:
    """Whether a response begins that sends one file of known size, and reads no database meanwhile."""
    if message["type"] != "http.response.start":
        return False
    return {b"content-disposition", b"content-length"} <= {name.lower() for name, _ in message["headers"]}


def _give_back(threads: RequestThreads, executor: _LateThread) -> None:
    if executor.thread is not None and not executor.is_back:
        executor.is_back = True
        executor.thread.submit(threads.give_back, executor.thread, asyncio.get_running_loop())


async def _open_stream(
    threads: RequestThreads, django: App, scope: Message, receive: Receive, send: Send
) -> None:
    """A live stream has a thread of its own, which it releases itself, and a turn until it has begun.

    It runs in an empty context: where a former request of this connection has paused its reading, the server calls back
    in that request's context, whose thread has gone.
    """
    await threads.take_turn()
    has_turn = True

    def end_turn() -> None:
        nonlocal has_turn
        if has_turn:
            has_turn = False
            threads.end_turn()

    async def send_and_return(message: Mapping[str, Any]) -> None:
        await send(message)
        end_turn()

    try:
        await asyncio.create_task(django(scope, receive, send_and_return), context=contextvars.Context())
    finally:
        end_turn()
