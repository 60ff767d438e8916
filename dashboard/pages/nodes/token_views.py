"""Page of a pool's join tokens, for admins."""

from __future__ import annotations

from datetime import timedelta

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from dashboard.access import get_scope
from dashboard.html.responses import answer
from dashboard.html.shown_rows import select_shown
from jobs.models import NodeToken, Pool
from jobs.nodes import joining
from jobs.states.jobs import StateError

TOKENS_SHOWN = 50
DEFAULT_HOURS = "24"


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def listing(request: HttpRequest, name: str) -> HttpResponse:
    """List the tokens. A POST creates one, and only its response holds the token's text."""
    get_scope(request).must_be_admin()
    pool = get_object_or_404(Pool, name=name)
    hours = request.POST.get("hours", DEFAULT_HOURS).strip()
    made = problem = ""
    if request.method == "POST":
        if ttl := _parse_hours(hours):
            made = joining.make_token(pool.name, request.user.get_username(), ttl)
        else:
            limits = f"{joining.LEAST_TTL_HOURS:g} and {joining.MAX_TTL_HOURS:,}"
            problem = f"'{hours}' is not between {limits} hours; try 24."
    tokens = select_shown(
        pool.node_tokens.select_related("node").order_by("-id"), TOKENS_SHOWN, request.GET, "tokens"
    )
    context = {
        "pool": pool,
        "tokens": tokens,
        "made": made,
        "hours": hours,
        "problem": problem,
        "now": timezone.now(),
    }
    return render(request, "nodes/tokens.html", context, status=422 if problem else 200)


@require_POST
def revoke(request: HttpRequest, name: str, token_id: int) -> HttpResponse:
    get_scope(request).must_be_admin()
    token = get_object_or_404(NodeToken, id=token_id, pool__name=name)
    page = reverse("pool-tokens", args=[name])
    try:
        joining.revoke(token, request.user.get_username())
    except StateError as error:
        return answer(request, str(error), page, is_refused=True)
    return answer(request, f"Token {token.prefix}... is revoked.", page)


def _parse_hours(text: str) -> timedelta | None:
    try:
        return joining.token_ttl(float(text))
    except (ValueError, StateError):
        return None
