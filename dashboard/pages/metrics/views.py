"""What Prometheus asks for, by token or session."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET
from ninja.errors import AuthenticationError, HttpError

from dashboard.callers import identify
from dashboard.pages.metrics import exposition
from dashboard.server.replies import text_reply

TEXT = "text/plain; version=0.0.4; charset=utf-8"


@login_not_required
@require_GET
def metrics(request: HttpRequest) -> HttpResponse:
    """A job is named on its devices' lines only to those who may see it."""
    try:
        scope = identify(request)
    except (AuthenticationError, HttpError):
        scope = None
    if scope is None:
        sentence = "Send a token of the API: Authorization: Bearer ...\n"
        return text_reply(sentence, 401)
    return text_reply(exposition.text(scope.can_see_details), content_type=TEXT)
