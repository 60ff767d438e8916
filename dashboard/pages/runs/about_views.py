"""What people say of one run: name, note, tags, archive, and who changed what; a part of the run page."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from dashboard.access import get_scope
from dashboard.charts.colours import colour_of
from jobs.models import Run
from jobs.tracking import run_annotations
from jobs.tracking.external_runs import TrackingError

PARAMS_LIMIT = 500
EVENTS_LIMIT = 50
FIELDS = ("name", "note", "colour")


@require_http_methods(["GET", "HEAD", "POST"])
def about(request: HttpRequest, run_id: str) -> HttpResponse:
    """GET: the part as it stands; POST: with what was written, or with the reason why it could not be."""
    if request.method != "POST":
        return _shown(request, get_scope(request).get(Run, run_id))
    run = get_scope(request).get_writable(Run, run_id)
    try:
        _write(request, run)
    except TrackingError as error:
        field = next((field for field in (*FIELDS, "add") if field in request.POST), "")
        return _shown(request, run, refused=str(error), field=field, draft=request.POST.get(field, ""))
    run.refresh_from_db()
    answer = _shown(request, run)
    answer.headers["HX-Trigger"] = json.dumps({"changed": {}})  # the head shows the name as well
    return answer


def _write(request: HttpRequest, run: Run) -> None:
    actor = request.user.get_username()
    values = {field: request.POST[field].strip() for field in FIELDS if field in request.POST}
    if values:
        run_annotations.change(run, actor=actor, **values)
    one = Run.objects.filter(id=run.id)
    add, drop = run_annotations.tags_from_text(request.POST.get("add", "")), request.POST.getlist("drop")
    if add or drop:
        run_annotations.tag(one, add, drop, actor=actor)
    if "archive" in request.POST:
        (run_annotations.archive if request.POST["archive"] else run_annotations.restore)(one, actor=actor)


def of(request: HttpRequest, run: Run) -> dict[str, Any]:
    """What the part's template needs."""
    params = list(run.params.order_by("key")[: PARAMS_LIMIT + 1])
    return {
        "about_tags": list(run.tags.exclude(key__startswith="mlflow.").order_by("key")),
        "about_events": list(run.events.order_by("-id")[:EVENTS_LIMIT]),
        "about_params": params[:PARAMS_LIMIT],
        "has_more_params": len(params) > PARAMS_LIMIT,
        "colour": colour_of(run),
        "may_write": get_scope(request).can_write(run),
    }


def _shown(request: HttpRequest, run: Run, **more: Any) -> HttpResponse:
    return render(request, "runs/_about.html", {"run": run, **of(request, run), **more})
