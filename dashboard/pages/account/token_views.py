"""A person's API tokens: listed, created and shown once, revoked."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from dashboard.access import get_scope, get_source
from dashboard.html.responses import answer
from jobs.models import Team
from jobs.models.people import TokenScope
from jobs.people import accounts, api_tokens
from jobs.people.accounts import PeopleError

DEFAULTS = {"name": "my script", "scope": TokenScope.SUBMIT.value, "days": "90", "team": ""}


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def tokens(request: HttpRequest) -> HttpResponse:
    """List the tokens. A POST creates one, and only its response holds the token's text."""
    scope = get_scope(request)
    typed = {name: request.POST.get(name, default) for name, default in DEFAULTS.items()}
    teams = list(scope.teams())
    created, problem = "", None
    if request.method == "POST":
        try:
            team = _find_team(scope.user, teams, typed["team"])
            expires_at = api_tokens.expiry(typed["days"])
            created = api_tokens.create_token(
                scope.user, team, typed["name"], typed["scope"], expires_at, get_source(request)
            )
        except PeopleError as error:
            problem = error
    context = {
        "created": created,
        "typed": typed if problem else DEFAULTS,
        "problem": problem,
        "teams": teams,
        "scopes": TokenScope.choices,
        "tokens": api_tokens.list_of(scope.user),
        "now": timezone.now(),
        "base_url": settings.BASE_URL,
    }
    return render(request, "account/tokens.html", context, status=422 if problem else 200)


@require_POST
def revoke(request: HttpRequest, token_id: int) -> HttpResponse:
    page = reverse("account-tokens")
    try:
        token = api_tokens.revoke(get_scope(request).user, token_id, get_source(request))
    except PeopleError as error:
        return answer(request, str(error), page, is_refused=True)
    return answer(request, f"Token {token} is revoked. Scripts that use it are refused from now on.", page)


def _find_team(user: User, teams: list[Team], slug: str) -> Team:
    """The team of this slug, by default where the person works. Raises PeopleError."""
    if not teams:
        raise PeopleError(
            "You are in no team yet, and a token works in one team. Ask a lead to add you.", "team"
        )
    found = next((team for team in teams if team.slug == slug), None)
    if slug and found is None:
        raise PeopleError(f"You are in no team '{slug}'.", "team")
    return found or accounts.first_writable_team(user) or teams[0]
