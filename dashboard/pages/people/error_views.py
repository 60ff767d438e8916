"""Pages for requests that cannot be served."""

from __future__ import annotations

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from engine.spec.spec import SPEC_BYTES_LIMIT


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's 400, and 413 with a sentence for a body that was not even read."""
    if not isinstance(exception, RequestDataTooBig):
        return render(request, "400.html", status=400)
    size = request.META.get("CONTENT_LENGTH") or "0"
    sentence = (
        f"What was sent is {int(size):,} bytes; a spec may have {SPEC_BYTES_LIMIT:,}. "
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
        return JsonResponse({"problems": [problem]}, status=413)
    return render(request, "413.html", {"sentence": sentence}, status=413)
