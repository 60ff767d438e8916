"""Settings page of a pool: limits, prices, quotas of teams.

Only admins may change settings.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from dashboard.access import get_scope
from dashboard.pages.pools import settings_page
from engine.spec.spec import Problem
from jobs.models import Pool, Team
from jobs.pools import pool_settings as pools
from jobs.pools import quotas
from jobs.pools.setting_types import SettingsError

ROWS_A_PAGE = 50
SAVED, UNCHANGED = "Saved.", "Nothing was changed."


@require_http_methods(["GET", "HEAD", "POST"])
def settings(request: HttpRequest, name: str) -> HttpResponse:
    pool = get_object_or_404(Pool, name=name)
    if request.method != "POST":
        return _render_page(request, pool, pools.setting_texts(pool))
    get_scope(request).must_be_admin()
    texts = settings_page.read_posted_texts(request.POST)
    try:
        event = pools.change(pool, request.user.get_username(), texts, _read_seen(request))
    except SettingsError as error:
        return _render_page(request, pool, texts, error.problems, status=422)
    except pools.StaleSettings as error:
        return _render_page(request, pool, texts, stale=str(error), status=409)
    messages.success(request, SAVED if event else UNCHANGED)
    return redirect("pool-settings", pool.name)


@require_POST
def quota(request: HttpRequest, name: str, slug: str) -> HttpResponse:
    """Change the quotas of one team. A refused change returns the row with the typed texts."""
    get_scope(request).must_be_admin()
    pool, team = get_object_or_404(Pool, name=name), get_object_or_404(Team, slug=slug)
    texts = {setting.name: request.POST.get(setting.name, "") for setting in quotas.SETTINGS}
    try:
        event = quotas.change(team, pool, request.user.get_username(), texts, _read_seen(request))
    except SettingsError as error:
        return _render_row(request, pool, team, texts, error.problems)
    except pools.StaleSettings as error:
        return _render_row(request, pool, team, texts, stale=str(error))
    if not request.headers.get("HX-Request"):
        messages.success(request, SAVED if event else UNCHANGED)
        return redirect("pool-settings", pool.name)
    response = _render_row(request, pool, team)
    events = {"notice": {"text": SAVED if event else UNCHANGED, "tone": "good"}, "pool-changed": {}}
    response["HX-Trigger"] = json.dumps(events)
    return response


@require_safe
def changes(request: HttpRequest, name: str) -> HttpResponse:
    pool = get_object_or_404(Pool, name=name)
    context = {"pool": pool, **settings_page.build_changes(get_scope(request), pool)}
    return render(request, "pools/settings/_changes.html", context)


def _render_page(
    request: HttpRequest, pool: Pool, texts: Mapping[str, str], problems: Iterable[Problem] = (),
    stale: str = "", status: int = 200,
) -> HttpResponse:  # fmt: skip
    text = request.GET.get("q", "")
    page = Paginator(settings_page.search_teams(get_scope(request), text), ROWS_A_PAGE).get_page(
        request.GET.get("page")
    )
    context: dict[str, Any] = {
        "pool": pool,
        "fields": settings_page.build_fields(pools.SETTINGS, texts, problems),
        "seen": settings_page.newest_event_id(pool, None),
        "stale": stale,
        "headers": quotas.SETTINGS,
        "page": page,
        "q": text,
        "rows": settings_page.build_rows(pool, list(page)),
        "teams": Team.objects.order_by("name"),
        "is_admin": get_scope(request).is_admin,
        **settings_page.build_changes(get_scope(request), pool),
    }
    return render(request, "pools/settings/page.html", context, status=status)


def _render_row(
    request: HttpRequest, pool: Pool, team: Team, texts: Mapping[str, str] | None = None,
    problems: Iterable[Problem] = (), stale: str = "",
) -> HttpResponse:  # fmt: skip
    seen = settings_page.newest_event_id(pool, team)
    row = settings_page.build_row(quotas.get_share(team, pool), seen, texts, problems, stale)
    context = {"row": row, "pool": pool, "is_admin": True}
    # 200 for a refusal too: htmx swaps no other status into the row.
    return render(request, "pools/settings/_quota.html", context)


def _read_seen(request: HttpRequest) -> int | None:
    text = request.POST.get("seen", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None
