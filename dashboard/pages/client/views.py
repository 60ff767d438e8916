"""Views of the client's package and of the snippet that logs from a script."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from dashboard.access import get_scope, get_source
from dashboard.server import client_package, replies
from dashboard.server.requests import UserRequest
from jobs.models.people import TokenScope
from jobs.people import api_tokens

TOKEN_NAME = "script"


@login_not_required
@require_safe
def archive(request: HttpRequest) -> HttpResponse:
    """Send what `pip install URL/client` installs: an archive with the wheel. It needs no token."""
    package = client_package.build()
    return replies.to_save(
        HttpResponse(package.archive, content_type="application/zip"), package.archive_name
    )


@login_not_required
@require_safe
def wheel(request: HttpRequest, name: str) -> HttpResponse:
    """Send the wheel by its name."""
    package = client_package.build()
    if name != package.wheel_name:
        raise Http404
    return replies.to_save(HttpResponse(package.wheel, content_type="application/zip"), package.wheel_name)


@never_cache
@require_POST
def snippet(request: UserRequest) -> HttpResponse:
    """Show the snippet with a new token of the person, which is shown this once."""
    scope = get_scope(request)
    team = scope.get_writable_team()
    token = api_tokens.create_token(
        scope.user, team, TOKEN_NAME, TokenScope.SUBMIT, source=get_source(request)
    )
    return render(request, "client/_snippet.html", {"token": token})
