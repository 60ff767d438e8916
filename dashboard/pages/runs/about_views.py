"""About section of the run page: name, note, tags, parameters and changes."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from dashboard.access import get_scope
from dashboard.charts.colours import get_colour
from dashboard.html.shown_rows import select_shown
from jobs.models import Project, Run
from jobs.tracking import run_annotations
from jobs.tracking.external_runs import TrackingError

PARAMS_SHOWN = 500
EVENTS_SHOWN = 50
PROJECTS_LIMIT = 200
FIELDS = ("name", "note", "colour")


@require_http_methods(["GET", "HEAD", "POST"])
def about(request: HttpRequest, run_id: str) -> HttpResponse:
    """GET: show the section. POST: write the posted values, and show the section with them or with the problem."""
    if request.method != "POST":
        return _render(request, get_scope(request).get(Run, run_id))
    run = get_scope(request).get_writable(Run, run_id)
    try:
        _write(request, run)
    except TrackingError as error:
        field = next((field for field in (*FIELDS, "add") if field in request.POST), "")
        return _render(request, run, problem=str(error), field=field, draft=request.POST.get(field, ""))
    run.refresh_from_db()
    response = _render(request, run)
    response.headers["HX-Trigger"] = json.dumps({"changed": {}})  # the head of the page shows the name too
    return response


def _write(request: HttpRequest, run: Run) -> None:
    actor = request.user.get_username()
    values = {field: request.POST[field].strip() for field in FIELDS if field in request.POST}
    if values:
        run_annotations.change(run, actor=actor, **values)
    queryset = Run.objects.filter(id=run.id)
    add, drop = run_annotations.tags_from_text(request.POST.get("add", "")), request.POST.getlist("drop")
    if add or drop:
        run_annotations.tag(queryset, add, drop, actor=actor)
    if "archive" in request.POST:
        (run_annotations.archive if request.POST["archive"] else run_annotations.restore)(
            queryset, actor=actor
        )


def build_context(request: HttpRequest, run: Run) -> dict[str, Any]:
    """Return the context of runs/_about.html."""
    may_write = get_scope(request).can_write(run)
    return {
        "about_tags": list(run.tags.exclude(key__startswith="mlflow.").order_by("key")),
        "about_events": select_shown(run.events.order_by("-id"), EVENTS_SHOWN, request.GET, "changes"),
        "about_params": select_shown(run.params.order_by("key"), PARAMS_SHOWN, request.GET, "params"),
        "colour": get_colour(run),
        "may_write": may_write,
        "projects": _list_projects(run) if may_write else [],
    }


def _list_projects(run: Run) -> list[Project]:
    """The projects that the run may move to, the newest first."""
    found = Project.objects.filter(team=run.team_id, archived_at=None, deletion=None)
    return list(found.order_by("-updated_at")[:PROJECTS_LIMIT])


def _render(request: HttpRequest, run: Run, **more: Any) -> HttpResponse:
    return render(request, "runs/_about.html", {"run": run, **build_context(request, run), **more})
