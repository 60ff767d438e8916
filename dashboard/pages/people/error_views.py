"""Pages for requests that cannot be served."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from dashboard.server.replies import json_reply
from engine.request_limits import SPEC_BYTES


def bad_request(request: HttpRequest, sentence: str) -> HttpResponse:
    return render(request, "400.html", {"sentence": sentence}, status=400)


def too_large(request: HttpRequest, size_bytes: int) -> HttpResponse:
    """For a body that was not even read; as a problem of the spec where the submit page asks."""
    sentence = (
        f"What was sent is {size_bytes:,} bytes; a spec may have {SPEC_BYTES:,}. "
        "Nothing was read and nothing was started."
    )
    if "application/json" in request.headers.get("Accept", ""):
        problem: dict[str, object] = {
            "field": "",
            "message": sentence,
            "fix": {},
            "fix_label": "",
            "line": None,
        }
        return json_reply({"problems": [problem]}, 413)
    return render(request, "413.html", {"sentence": sentence}, status=413)
