"""View of the Prometheus metrics, by token or session."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET
from ninja.errors import AuthenticationError, HttpError

from dashboard.callers import identify
from dashboard.pages.metrics import exposition
from dashboard.server.replies import text_reply

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@login_not_required
@require_GET
def metrics(request: HttpRequest) -> HttpResponse:
    """Return all metrics. A sample names the job of its device only if the caller may see the job."""
    try:
        scope = identify(request)
    except (AuthenticationError, HttpError):
        scope = None
    if scope is None:
        return text_reply("Send a token of the API: Authorization: Bearer ...\n", 401)
    return text_reply(exposition.render_metrics(scope.can_see_details), content_type=CONTENT_TYPE)
