"""Replies to requests that cannot be served, in the form of the part they were sent to."""

from __future__ import annotations

from django.core.exceptions import BadRequest, RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from dashboard.mlflow.errors import bad
from dashboard.server.replies import json_reply, refusal
from engine.request_limits import BODY_BYTES, SPEC_BYTES

NOT_UNDERSTOOD = "This request could not be understood."


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's 400, with the sentence where one of our limits was exceeded, and 413 for a body that was not read."""
    is_large = isinstance(exception, RequestDataTooBig)
    size = _size_bytes(request)
    sentence = str(exception) if isinstance(exception, BadRequest) else NOT_UNDERSTOOD
    if "/mlflow" in request.path:
        return bad(BODY_BYTES.error(size) if is_large else sentence).response()
    if request.path.startswith("/api/"):
        return refusal(413, BODY_BYTES.error(size)) if is_large else refusal(400, sentence)
    if not is_large:
        return render(request, "400.html", {"sentence": sentence}, status=400)
    sentence = (
        f"What was sent is {size:,} bytes; a spec may have {SPEC_BYTES:,}. "
        "Nothing was read and nothing was started."
    )
    if "application/json" in request.headers.get("Accept", ""):
        problem = {"field": "", "message": sentence, "fix": {}, "fix_label": "", "line": None}
        return json_reply({"problems": [problem]}, 413)
    return render(request, "413.html", {"sentence": sentence}, status=413)


def _size_bytes(request: HttpRequest) -> int:
    """As the request declares it; one byte too many where it declares nothing."""
    return int(request.META.get("CONTENT_LENGTH") or BODY_BYTES + 1)
