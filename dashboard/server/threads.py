"""The threads that synchronous views run in: kept from request to request, each with its database connection.

Django gives each request a new thread, and that a new connection, whose cache is empty: 5 to 8 ms of CPU a request on
SQLite, more on PostgreSQL (measured 2026-11-27, load 20).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from asgiref.sync import ThreadSensitiveContext
from django.db import connections

KEPT = 8  # with their connections; more are made while more requests are under way
LIVE = "/live"  # lets go of its thread by itself, and lasts for hours

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

_idle: deque[ThreadPoolExecutor] = deque()


def kept(django: App) -> App:
    """`django`, each request in a thread that nobody else uses meanwhile."""

    async def application(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == LIVE:
            return await django(scope, receive, send)
        thread = _borrowed()
        try:
            async with ThreadSensitiveContext(executor=thread):
                await django(scope, receive, send)
        finally:
            # Behind what a caller who has hung up has left running there: only then is it free.
            thread.submit(_give_back, thread)

    return application


def _borrowed() -> ThreadPoolExecutor:
    """The one that was used last, whose connection is warm, or a new one."""
    try:
        return _idle.pop()
    except IndexError:
        return ThreadPoolExecutor(1, "request")


def _give_back(thread: ThreadPoolExecutor) -> None:
    """In that thread itself."""
    if len(_idle) < KEPT:
        _idle.append(thread)
    else:
        connections.close_all()
        thread.shutdown(wait=False)
