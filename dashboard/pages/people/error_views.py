"""Pages for requests that cannot be served."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from dashboard.server.replies import json_reply
from engine.request_limits import SPEC_BYTES

TITLES = {
    400: "This request could not be understood",
    403: "Not allowed",
    404: "Page not found, or no access",
    401: "Not logged in",
    405: "This address takes no such request",
    408: "The request did not come in time",
    413: "Too large",
    429: "Too many requests",
    500: "Server error",
    503: "The server cannot answer now",
}
SENTENCES = {
    403: "Your account has no permission for this. Nothing was changed.",
    404: "The address may be wrong, or it belongs to a team that you are not in.",
    500: "The server's log has the details. Training continues: no page takes part in a step.",
}
PICTURES = {403: "clock", 429: "clock", 503: "clock"}
PLAIN = (401, 408, 413, 500, 503)  # without the person's navigation bar, which reads the database


def problem(request: HttpRequest, status: int, sentence: str, title: str = "") -> HttpResponse:
    """A page with the sentence of an error."""
    if "application/json" in request.headers.get("Accept", ""):
        return json_reply({"problems": [_problem(sentence)]}, status)
    values = {
        "title": title or TITLES.get(status, TITLES[500 if status > 500 else 400]),
        "sentence": sentence,
        "code": status,
        "picture": PICTURES.get(status, ""),
    }
    return HttpResponse(
        render_to_string("problem.html", values, None if status in PLAIN else request), status=status
    )


def _problem(sentence: str) -> dict[str, object]:
    return {"field": "", "message": sentence, "fix": {}, "fix_label": "", "line": None}


def too_large(request: HttpRequest, size_bytes: int) -> HttpResponse:
    """For a body that was not even read; as a problem of the spec where the submit page asks."""
    sentence = (
        f"What was sent is {size_bytes:,} bytes; a spec may have {SPEC_BYTES:,}. "
        "Nothing was read and nothing was started."
    )
    if "application/json" in request.headers.get("Accept", ""):
        return json_reply({"problems": [_problem(sentence)]}, 413)
    return render(request, "413.html", {"sentence": sentence}, status=413)
