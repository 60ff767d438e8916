"""Responses to actions on pages: a toast or message, with an optional undo."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect


def answer(
    request: HttpRequest,
    sentence: str,
    to: str,
    *,
    is_refused: bool = False,
    undo: dict[str, Any] | None = None,
) -> HttpResponse:
    """Answer an action with a message.

    htmx gets a toast and an event that refreshes the changed parts; other clients are redirected to the page `to`.
    `undo` is the request that reverts the action: {"path": ..., "values": {...}}.
    """
    if request.headers.get("HX-Request"):
        reply = HttpResponse(status=409 if is_refused else 204)
        return with_toast(reply, sentence, "warn" if is_refused else "good", undo, is_change=True)
    (messages.error if is_refused else messages.success)(request, sentence)
    return redirect(to)


def with_toast(
    reply: HttpResponse,
    sentence: str,
    tone: str,
    undo: dict[str, Any] | None = None,
    *,
    is_change: bool = False,
) -> HttpResponse:
    """The reply with the event that shows the sentence, and where something changed, the one that refreshes it."""
    toast = {"text": sentence, "tone": tone} | ({"undo": undo} if undo else {})
    reply["HX-Trigger"] = json.dumps({"notice": toast} | ({"changed": {}} if is_change else {}))
    return reply
