"""Fast path for points and series: an ASGI application in front of Django.

Django's middleware, routing and authentication cost a request 6 ms. Here one thread with one connection stores all
deliveries of this process, and caches for a few seconds which token may write to which run. Series are served by
dashboard.api.fast_series; every other request goes to Django.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from django.db import DatabaseError, InterfaceError, OperationalError, connection

from dashboard.api import fast_series, points
from dashboard.callers import UNKNOWN_TOKEN, scope_from_token
from dashboard.server import rate_limits, replies
from dashboard.server.threads import App, Message, Receive, Send
from dashboard.token_scopes import find_refusal
from engine.request_limits import POINTS_BODY_BYTES
from jobs.models import Run

PATH = re.compile(r"/api/v1/runs/([0-9a-z]{1,12})/points")
ACCESS_CACHED_S = 5.0  # a revoked token still writes for this long
ACCESS_CACHED = 10_000

_thread = ThreadPoolExecutor(1, "points")
_buffered_bytes = 0  # changed in the event loop only
_allowed: dict[tuple[str, str], tuple[float, Run]] = {}
UNKNOWN = (401, replies.refusal_body(UNKNOWN_TOKEN))
SERIES_HEADERS = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
BUFFERED_BYTES = 256 * 1024**2  # of all deliveries that come in or wait
BUSY = replies.refusal_body("Too many deliveries come in at once. Send it again in some seconds.")
RETRY = [(b"retry-after", b"2")]
UNAVAILABLE = (503, replies.refusal_body("The database does not respond. Send it again in a second."))


class BufferFull(Exception):
    """Too many bytes of deliveries are in memory already."""


class UnknownToken(Exception):
    """The token is unknown or has expired."""


class NarrowToken(Exception):
    """The token may not log runs; the message names its scope."""


def with_fast_paths(django: App) -> App:
    """An application that serves points sent with a token, and series, and passes the rest to `django`."""

    async def application(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and (route := PATH.fullmatch(scope["path"])):
            headers = dict(scope["headers"])
            kind, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
            if kind.lower() == "bearer":
                return await _serve(route.group(1), token.strip(), headers, receive, send)
        if scope["type"] == "http" and scope["method"] == "GET":
            route = fast_series.PATH.fullmatch(scope["path"])
            if route and (
                reply := await fast_series.get_reply(
                    route.group(1), scope["query_string"], dict(scope["headers"])
                )
            ):
                return await _send(send, 200, reply.body, reply.content_type, SERIES_HEADERS)
        return await django(scope, receive, send)

    return application


async def _serve(run_id: str, token: str, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
    global _buffered_bytes
    try:
        rate_limits.check(
            "POST", f"/api/v1/runs/{run_id}/points", headers[b"authorization"].decode("latin-1"), ""
        )
    except rate_limits.TooManyRequests as refused:
        retry = (b"retry-after", str(refused.retry_after_s).encode())
        reply = replies.encode(replies.refusal_body(str(refused)))
        return await _send(send, 429, reply, replies.JSON, [retry, (b"connection", b"close")])
    try:
        body, is_too_large = await _body(receive)
    except BufferFull:
        return await _send(send, 503, replies.encode(BUSY), replies.JSON, [*RETRY, (b"connection", b"close")])
    try:
        await _serve_body(run_id, token, headers, body, is_too_large, send)
    finally:
        _buffered_bytes -= len(body or b"")


async def _serve_body(
    run_id: str, token: str, headers: dict[bytes, bytes], body: bytes | None, is_too_large: bool, send: Send
) -> None:
    kind, encoding = (
        headers.get(name, b"").decode("latin-1") for name in (b"content-type", b"content-encoding")
    )
    if body is None:
        return  # the client has disconnected
    loop = asyncio.get_running_loop()
    status, reply = await loop.run_in_executor(_thread, _store, run_id, token, body, kind, encoding)
    more = [(b"connection", b"close")] if is_too_large else []  # the rest of the body is not read
    more += RETRY if status in (429, 503) else []
    await _send(send, status, replies.encode(reply), replies.JSON, more)


async def _send(
    send: Send, status: int, body: bytes, content_type: str, more: Sequence[tuple[bytes, bytes]]
) -> None:
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _body(receive: Receive) -> tuple[bytes | None, bool]:
    """The body, and whether it is over the limit and cut; None if the client has disconnected. Its bytes count as
    buffered until the delivery is stored. Raises BufferFull."""
    global _buffered_bytes
    parts, size, is_kept = [], 0, False
    try:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None, False
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            _buffered_bytes += len(parts[-1])
            if size > POINTS_BODY_BYTES or not message.get("more_body"):
                is_kept = True
                return b"".join(parts), size > POINTS_BODY_BYTES
            if _buffered_bytes > BUFFERED_BYTES:
                raise BufferFull
    finally:
        if not is_kept:
            _buffered_bytes -= size


def _store(run_id: str, token: str, body: bytes, kind: str, encoding: str) -> points.Reply:
    """Runs in the thread of points. A broken connection is reopened once: storing a delivery twice is harmless."""
    for is_last in (False, True):
        try:
            return points.store_delivery(lambda: _run(token, run_id), body, kind, encoding)
        except UnknownToken:
            return UNKNOWN
        except NarrowToken as refused:
            return 403, replies.refusal_body(str(refused))
        except (OperationalError, InterfaceError):
            connection.close()
            if is_last:
                return UNAVAILABLE
        except DatabaseError:
            connection.close()
            raise
    raise AssertionError


def _run(token: str, run_id: str) -> Run:
    """Raises UnknownToken, NarrowToken, Http404."""
    now, key = time.monotonic(), (token, run_id)
    until, run = _allowed.get(key, (0.0, None))
    if run is None or until < now:
        run = _found(token, run_id)
        if len(_allowed) >= ACCESS_CACHED:
            _allowed.clear()
        _allowed[key] = (now + ACCESS_CACHED_S, run)
    return run


def _found(token: str, run_id: str) -> Run:
    scope = scope_from_token(token)
    if scope is None:
        raise UnknownToken
    if refusal := find_refusal(scope.token_scope, "POST", f"/api/v1/runs/{run_id}/points"):
        raise NarrowToken(refusal)
    return scope.get_writable(Run, run_id)
