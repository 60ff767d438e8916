"""Responses to actions: a message, with undo where it is possible."""

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
        said = {"text": sentence, "tone": "warn" if is_refused else "good"} | ({"undo": undo} if undo else {})
        headers = {"HX-Trigger": json.dumps({"said": said, "changed": {}})}
        return HttpResponse(status=409 if is_refused else 204, headers=headers)
    (messages.error if is_refused else messages.success)(request, sentence)
    return redirect(to)
