"""Join tokens of a pool: made and shown once, listed, revoked. For admins."""

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
from dashboard.pages.nodes.actions import HOURS_LIMIT
from jobs.models import NodeToken, Pool
from jobs.nodes import joining
from jobs.states.jobs import StateError

SHOWN = 50
LIFE_HOURS = "24"


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def listing(request: HttpRequest, name: str) -> HttpResponse:
    """The list; a POST makes one more, and its answer is the only one with the token's text."""
    get_scope(request).must_be_admin()
    pool = get_object_or_404(Pool, name=name)
    hours = request.POST.get("hours", LIFE_HOURS).strip()
    made = problem = ""
    if request.method == "POST":
        life = _hours(hours)
        problem = "" if life else f"'{hours}' is not between 0.01 and {HOURS_LIMIT:,} hours; say 24."
        made = (
            joining.make_token(pool.name, request.user.get_username(), timedelta(hours=life)) if life else ""
        )
    tokens = pool.node_tokens.select_related("node").order_by("-id")[:SHOWN]
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
    return answer(request, f"Token {token.prefix}... lets nobody in any more.", page)


def _hours(text: str) -> float | None:
    try:
        hours = float(text)
    except ValueError:
        return None
    return hours if 0.01 <= hours <= HOURS_LIMIT else None
