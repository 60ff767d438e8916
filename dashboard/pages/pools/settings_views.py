"""The settings page of a pool: its limits and prices, and what each team may have of it. Only admins write."""

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
        return _page(request, pool, pools.texts_of(pool))
    get_scope(request).must_be_admin()
    texts = settings_page.texts_of(request.POST)
    try:
        event = pools.change(pool, request.user.get_username(), texts, _seen(request))
    except SettingsError as error:
        return _page(request, pool, texts, error.problems, status=422)
    except pools.Stale as error:
        return _page(request, pool, texts, stale=str(error), status=409)
    messages.success(request, SAVED if event else UNCHANGED)
    return redirect("pool-settings", pool.name)


@require_POST
def quota(request: HttpRequest, name: str, team: str) -> HttpResponse:
    """One team's row. It comes back with what was typed where that is refused."""
    get_scope(request).must_be_admin()
    pool, whose = get_object_or_404(Pool, name=name), get_object_or_404(Team, slug=team)
    texts = {setting.name: request.POST.get(setting.name, "") for setting in quotas.SETTINGS}
    try:
        event = quotas.change(whose, pool, request.user.get_username(), texts, _seen(request))
    except SettingsError as error:
        return _row(request, pool, whose, texts, error.problems)
    except pools.Stale as error:
        return _row(request, pool, whose, texts, stale=str(error))
    if not request.headers.get("HX-Request"):
        messages.success(request, SAVED if event else UNCHANGED)
        return redirect("pool-settings", pool.name)
    answer = _row(request, pool, whose)
    said = {"said": {"text": SAVED if event else UNCHANGED, "tone": "good"}, "pool-changed": {}}
    answer["HX-Trigger"] = json.dumps(said)
    return answer


@require_safe
def changes(request: HttpRequest, name: str) -> HttpResponse:
    pool = get_object_or_404(Pool, name=name)
    context = {"pool": pool, **settings_page.changes(get_scope(request), pool)}
    return render(request, "pools/settings/_changes.html", context)


def _page(
    request: HttpRequest, pool: Pool, texts: Mapping[str, str], problems: Iterable[Problem] = (),
    stale: str = "", status: int = 200,
) -> HttpResponse:  # fmt: skip
    text = request.GET.get("q", "")
    page = Paginator(settings_page.teams_shown(get_scope(request), text), ROWS_A_PAGE).get_page(
        request.GET.get("page")
    )
    context: dict[str, Any] = {
        "pool": pool,
        "fields": settings_page.fields(pools.SETTINGS, texts, problems),
        "seen": settings_page.newest(pool, None),
        "stale": stale,
        "heads": quotas.SETTINGS,
        "page": page,
        "q": text,
        "rows": settings_page.rows(pool, list(page)),
        "teams": Team.objects.order_by("name"),
        "is_admin": get_scope(request).is_admin,
        **settings_page.changes(get_scope(request), pool),
    }
    return render(request, "pools/settings/page.html", context, status=status)


def _row(
    request: HttpRequest, pool: Pool, team: Team, texts: Mapping[str, str] | None = None,
    problems: Iterable[Problem] = (), stale: str = "",
) -> HttpResponse:  # fmt: skip
    seen = settings_page.newest(pool, team)
    row = settings_page.row(quotas.of(team, pool), seen, texts, problems, stale)
    context = {"row": row, "pool": pool, "is_admin": True}
    # 200 for a refusal too: htmx puts nothing else in the row's place.
    return render(request, "pools/settings/_quota.html", context)


def _seen(request: HttpRequest) -> int | None:
    text = request.POST.get("seen", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None
