"""Search over everything: results for the dialog, and as a page without a script."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from dashboard.access import get_scope
from dashboard.pages.home.search import RUNS_READ, TEXT_CHARS
from dashboard.pages.home.search import search as find_everything
from dashboard.server.requests import UserRequest


@require_safe
def search(request: UserRequest) -> HttpResponse:
    text = request.GET.get("q", "").replace("\0", "").strip()[:TEXT_CHARS]
    context = {"text": text, "groups": find_everything(get_scope(request), text), "runs_read": RUNS_READ}
    return render(request, "search/_results.html" if "part" in request.GET else "search/page.html", context)
