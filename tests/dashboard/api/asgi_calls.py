"""Requests to the fast path without a server; Django is replaced by a 299."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from dashboard.api import fast_path


async def django(scope, receive, send):
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


def ask(
    path: str, headers: Mapping[str, str], method: str = "GET", messages: Iterable[dict[str, Any]] = ()
) -> tuple[int | None, dict[bytes, bytes], bytes]:
    """Status, headers and body; None where nothing was answered. `messages`: how the body comes."""
    path, _, query = path.partition("?")
    coming, sent = iter(messages), []

    async def receive():
        return next(coming)

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    asyncio.run(fast_path.with_fast_paths(django)(scope, receive, send))
    return (sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]) if sent else (None, {}, b"")
