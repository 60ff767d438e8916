"""Requests through the ASGI application up to Django."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from django.http import HttpResponse
from django.test import RequestFactory

from dashboard import errors
from dashboard.api.fast_path import with_fast_paths
from dashboard.server.peer_limits import limit_peers


def ask_fast_path(address: str, headers: dict[str, str], body: bytes) -> HttpResponse:
    """The reply of the whole ASGI application, with Django replaced by a 404 in the API's form."""

    async def django(scope: Any, receive: Any, send: Any) -> None:
        await errors.send_refusal(scope, send, 404, "")

    messages = [{"type": "http.request", "body": body, "more_body": False}]
    method = "POST" if body else "GET"
    application = limit_peers(with_fast_paths(django), errors.send_refusal, lambda headers: True)
    path, _, given = address.partition("?")
    scope = {
        "type": "http", "method": method, "path": path, "query_string": given.encode(),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()],
    }  # fmt: skip
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(application(scope, receive, send))
    reply = HttpResponse(sent[1]["body"], status=sent[0]["status"])
    reply["Content-Type"] = dict(sent[0]["headers"])[b"content-type"].decode()
    reply.wsgi_request = RequestFactory().generic(method, address[:300])  # type: ignore[attr-defined]
    reply.json = lambda: json.loads(reply.content)  # type: ignore[attr-defined]
    reply.exc_info = None  # type: ignore[attr-defined]
    return reply
