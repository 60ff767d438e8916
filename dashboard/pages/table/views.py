"""The table of runs: the page, its parts that refresh, what completes its filter, the choice of columns, its file."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from dashboard.access import get_scope
from dashboard.pages.table import columns, export, groups, rows
from dashboard.pages.table.picker import Picker
from dashboard.pages.table.query import State, state_of
from dashboard.server.replies import json_reply, text_reply, to_save
from engine.request_limits import FILTER_CHARS
from jobs import exports, runs
from jobs.models import Run
from jobs.people import last_queries

PAGE = "runs"


@require_safe
def listing(request: HttpRequest) -> HttpResponse:
    """Without a query: as this person left it."""
    if not request.GET and (last := last_queries.read(request.user, PAGE)):
        return redirect(f"{request.path}?{last}")
    state, asker = state_of(request.GET), _asker(request)
    context: dict[str, Any] = {
        "state": state,
        "name_column": columns.name_column(state),
        "page": None,
        "grouped": None,
        "refusal": None,
        "total": 0,
    }
    try:
        found = runs.filtered(asker.runs, state.filter, asker)
    except runs.FilterError as error:
        context["refusal"] = error
    else:
        context |= _content(request, found, state, asker)
        if "only" not in request.GET and "part" not in request.GET:
            last_queries.remember(request.user, PAGE, state.own_query)
    context["written"] = get_scope(request).written_team_ids
    return render(request, _template(request), context)


def _content(request: HttpRequest, found: Any, state: State, asker: runs.Asker) -> dict[str, Any]:
    if only := request.GET.getlist("only"):
        return {"page": rows.of_ids(only, state, asker.runs, asker.now)}
    if state.groups and "part" not in request.GET:
        grouped = groups.of_state(found, state)
        return {"grouped": grouped, "total": grouped.total}
    page = rows.of_page(found, state, asker.runs, asker.now)
    return {"page": page, "total": page.total}


def _template(request: HttpRequest) -> str:
    if "only" in request.GET or "part" in request.GET:
        return "table/_rows.html"
    return "table/_table.html" if request.headers.get("HX-Request") else "table/page.html"


@require_safe
def save(request: HttpRequest) -> HttpResponse:
    """What the table shows by the same query, as a file in `format`."""
    state, asker, form = state_of(request.GET), _asker(request), request.GET.get("format", "")
    if form not in exports.FORMATS:
        raise Http404
    try:
        found = runs.filtered(asker.runs, state.filter, asker)
        table = export.of_state(found, state, asker.runs, asker.now)
        data = b"".join(exports.write(table, form))
    except (runs.FilterError, export.TooMany, exports.NoParquet) as error:
        return text_reply(str(error), 422)
    reply = HttpResponse(data, content_type=exports.CONTENT_TYPES[form])
    return to_save(reply, f"{table.name}.{form}")


@require_safe
def complete(request: HttpRequest) -> HttpResponse:
    """What may come next in the filter `text`, which ends at the caret."""
    found = runs.complete(request.GET.get("text", "")[:FILTER_CHARS], _asker(request))
    return json_reply({"start": found.start, "items": [item._asdict() for item in found.items]})


@require_safe
def picker(request: HttpRequest) -> HttpResponse:
    """The choice of columns and of what makes groups, fetched when somebody opens it."""
    state, asker = state_of(request.GET), _asker(request)
    return render(request, "table/_picker.html", {"state": state, "picker": Picker.of(state, asker.runs)})


def _asker(request: HttpRequest) -> runs.Asker:
    return runs.Asker(get_scope(request).seen(Run), request.user.get_username(), timezone.now())
