"""View of the Prometheus metrics, by token or session."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET
from ninja.errors import AuthenticationError, HttpError

from dashboard.api.auth import known
from dashboard.pages.metrics import exposition

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@login_not_required
@require_GET
def metrics(request: HttpRequest) -> HttpResponse:
    """Return all metrics. A sample names the job of its device only if the caller may see the job."""
    try:
        caller = known(request)
    except (AuthenticationError, HttpError):
        caller = None
    if caller is None:
        message = "Send a token of the API: Authorization: Bearer ...\n"
        return HttpResponse(message, status=401, content_type="text/plain; charset=utf-8")
    return HttpResponse(exposition.render_metrics(caller.can_see_details), content_type=CONTENT_TYPE)
