"""The short way for points and for charts: an ASGI application that serves these routes beside Django.

Through Django's middleware a request costs 6 ms of middleware, routes and two looks at who is calling;
here one thread with one connection takes all deliveries of this process, and remembers for a few seconds which token
may write to which run. Series go by dashboard.api.short_series; everything else goes Django's way.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from django.db import DatabaseError, InterfaceError, OperationalError, connection

from dashboard.api import points, short_series
from dashboard.callers import UNKNOWN_TOKEN, scope_from_token
from dashboard.server import replies
from dashboard.server.threads import App, Message, Receive, Send
from engine.request_limits import POINTS_BODY_BYTES
from jobs.models import Run

PATH = re.compile(r"/api/v1/runs/([0-9a-z]{1,12})/points")
REMEMBERED_S = 5.0  # so long a token that was taken away still writes
REMEMBERED = 10_000

_thread = ThreadPoolExecutor(1, "points")
_doors: dict[tuple[str, str], tuple[float, Run]] = {}
UNKNOWN = (401, replies.refusal_body(UNKNOWN_TOKEN))
SERIES_HEADERS = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
AWAY = (503, replies.refusal_body("The database does not answer now. Send it again in a second."))


class NotKnown(Exception):
    """A token of nobody."""


def beside(django: App) -> App:
    """`django` for everything but points that come with a token, and series."""

    async def application(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and (route := PATH.fullmatch(scope["path"])):
            headers = dict(scope["headers"])
            kind, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
            if kind.lower() == "bearer":
                return await _serve(route.group(1), token.strip(), headers, receive, send)
        if scope["type"] == "http" and scope["method"] == "GET":
            route = short_series.PATH.fullmatch(scope["path"])
            if route and (
                answer := await short_series.answered(
                    route.group(1), scope["query_string"], dict(scope["headers"])
                )
            ):
                return await _send(send, 200, answer.body, answer.content_type, SERIES_HEADERS)
        return await django(scope, receive, send)

    return application


async def _serve(run_id: str, token: str, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
    body, is_too_large = await _body(receive)
    kind, encoding = (
        headers.get(name, b"").decode("latin-1") for name in (b"content-type", b"content-encoding")
    )
    if body is None:
        return  # the caller has hung up
    loop = asyncio.get_running_loop()
    status, said = await loop.run_in_executor(_thread, _taken, run_id, token, body, kind, encoding)
    more = [(b"connection", b"close")] if is_too_large else []  # what is left of the body is not read
    await _send(send, status, replies.encode(said), replies.JSON, more)


async def _send(
    send: Send, status: int, body: bytes, content_type: str, more: Sequence[tuple[bytes, bytes]]
) -> None:
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _body(receive: Receive) -> tuple[bytes | None, bool]:
    """The body, cut once it is over the limit."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None, False
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > POINTS_BODY_BYTES:
            return b"".join(parts), True
        if not message.get("more_body"):
            return b"".join(parts), False


def _taken(run_id: str, token: str, body: bytes, kind: str, encoding: str) -> points.Reply:
    """In the thread of points. A connection that has broken is opened again once: a delivery may come twice."""
    for is_last in (False, True):
        try:
            return points.taken(lambda: _run(token, run_id), body, kind, encoding)
        except NotKnown:
            return UNKNOWN
        except (OperationalError, InterfaceError):
            connection.close()
            if is_last:
                return AWAY
        except DatabaseError:
            connection.close()
            raise
    raise AssertionError


def _run(token: str, run_id: str) -> Run:
    """Raises NotKnown, Http404."""
    now, key = time.monotonic(), (token, run_id)
    until, run = _doors.get(key, (0.0, None))
    if run is None or until < now:
        run = _found(token, run_id)
        if len(_doors) >= REMEMBERED:
            _doors.clear()
        _doors[key] = (now + REMEMBERED_S, run)
    return run


def _found(token: str, run_id: str) -> Run:
    scope = scope_from_token(token)
    if scope is None:
        raise NotKnown
    return scope.get_writable(Run, run_id)
