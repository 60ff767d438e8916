"""Views of the run table: page, refreshed parts, completion, picker, export."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from dashboard.access import get_scope
from dashboard.pages.table import columns, export, groups, rows
from dashboard.pages.table.picker import build_picker
from dashboard.pages.table.query import TableState, parse_state
from dashboard.server.replies import json_reply, text_reply, to_save
from dashboard.server.requests import UserRequest
from engine.request_limits import FILTER_CHARS
from jobs import exports, runs
from jobs.models import Run
from jobs.people import last_queries

PAGE, LAST_FILTER = "runs", "runs-filter"
COUNTED = 100_000  # runs that a filter hides, at most


@require_safe
def listing(request: UserRequest) -> HttpResponse:
    """Show the table; without a query with the columns and order that the user had last, and every run."""
    if not request.GET and (last := last_queries.get_last_query(request.user, PAGE)):
        return redirect(f"{request.path}?{last}")
    state, asker = parse_state(request.GET), _build_asker(request)
    context: dict[str, Any] = {
        "state": state,
        "name_column": columns.name_column(state),
        "page": None,
        "grouped": None,
        "filter_error": None,
        "total": 0,
    }
    try:
        found = runs.filtered(asker.runs, state.filter, asker)
    except runs.FilterError as error:
        context["filter_error"] = error
    else:
        state = context["state"] = _with_usual_metrics(state, found)
        context |= _build_content(request, found, state, asker)
        if "only" not in request.GET and "part" not in request.GET:
            _store_state(request, state)
        context |= _build_hidden(request, state, asker, context["total"])
    context["written"] = get_scope(request).written_team_ids
    return render(request, _choose_template(request), context)


def _build_content(request: UserRequest, found: Any, state: TableState, asker: runs.Asker) -> dict[str, Any]:
    if only := request.GET.getlist("only"):
        return {"page": rows.build_rows_by_id(only, state, asker.runs, asker.now)}
    if state.groups and "part" not in request.GET:
        grouped = groups.build_groups(found, state)
        return {"grouped": grouped, "total": grouped.total}
    page = rows.build_page(found, state, asker.runs, asker.now)
    return {"page": page, "total": page.total}


def _choose_template(request: UserRequest) -> str:
    if "only" in request.GET or "part" in request.GET:
        return "table/_rows.html"
    return "table/_table.html" if request.headers.get("HX-Request") else "table/page.html"


def _store_state(request: UserRequest, state: TableState) -> None:
    """The filter is kept apart: it is offered, and never applied without a click."""
    last_queries.store_last_query(request.user, PAGE, dataclasses.replace(state, filter="").changed_query)
    if state.filter:
        last_queries.store_last_query(request.user, LAST_FILTER, state.filter)


def _build_hidden(request: UserRequest, state: TableState, asker: runs.Asker, total: int) -> dict[str, Any]:
    """How many runs the filter hides; without one, the filter that the user had last."""
    if "only" in request.GET or "part" in request.GET:
        return {}
    if not state.filter:
        return {"last_filter": last_queries.get_last_query(request.user, LAST_FILTER)}
    every = runs.filtered(asker.runs, "", asker).order_by()[: COUNTED + 1].count()
    return {"num_hidden": max(0, every - total), "is_counted": every <= COUNTED}


@require_safe
def save(request: UserRequest) -> HttpResponse:
    """Export the table of the same query as a file in `format`."""
    state, asker, form = parse_state(request.GET), _build_asker(request), request.GET.get("format", "")
    if form not in exports.FORMATS:
        raise Http404
    try:
        found = runs.filtered(asker.runs, state.filter, asker)
        table = export.build_table(found, _with_usual_metrics(state, found), asker.runs, asker.now)
        data = b"".join(exports.write_table(table, form))
    except (runs.FilterError, export.TooManyRuns, exports.ParquetUnavailable) as error:
        return text_reply(str(error), 422)
    reply = HttpResponse(data, content_type=exports.CONTENT_TYPES[form])
    return to_save(reply, f"{table.name}.{form}")


@require_safe
def complete(request: UserRequest) -> HttpResponse:
    """Suggest what may come next in the filter `text`, which ends at the caret."""
    found = runs.complete(request.GET.get("text", "")[:FILTER_CHARS], _build_asker(request))
    return json_reply({"start": found.start, "items": [item._asdict() for item in found.items]})


@require_safe
def picker(request: UserRequest) -> HttpResponse:
    """Show the picker of columns and groups, fetched when it is opened."""
    state, asker = parse_state(request.GET), _build_asker(request)
    with contextlib.suppress(runs.FilterError):  # the table itself shows the error
        state = _with_usual_metrics(state, runs.filtered(asker.runs, state.filter, asker))
    return render(request, "table/_picker.html", {"state": state, "picker": build_picker(state, asker.runs)})


def _with_usual_metrics(state: TableState, found: QuerySet[Run]) -> TableState:
    """Return the table with the default columns of these runs, unless the address names its own."""
    return state if state.has_own_columns else state.with_usual_metrics(runs.choose_usual_metrics(found))


def _build_asker(request: UserRequest) -> runs.Asker:
    return runs.Asker(get_scope(request).seen(Run), request.user.get_username(), timezone.now())
