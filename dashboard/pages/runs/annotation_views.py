"""Changes of runs: name, note, colour, tags, archive state."""

from __future__ import annotations

import json

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_POST

from dashboard import access
from dashboard.html.responses import answer
from jobs import runs
from jobs.models import Run
from jobs.tracking import run_annotations
from jobs.tracking.external_runs import TrackingError

FIELDS = ("name", "note", "colour")
ACTIONS = ("tag", "archive", "restore")


@require_POST
def change(request: HttpRequest, run_id: str) -> HttpResponse:
    """Change the name, note or colour of a run."""
    run = access.writable_run(request.user, run_id)
    values = {field: request.POST[field] for field in FIELDS if field in request.POST}
    try:
        run_annotations.change(run, actor=request.user.get_username(), **values)
    except TrackingError as error:
        return _refuse(request, str(error))
    return answer(request, f"{run.name}: {', '.join(values)} saved.", "runs")


@require_POST
def many(request: HttpRequest, act: str) -> HttpResponse:
    """Tag, archive or restore the named runs, or with `all` every run that `filter` finds."""
    if act not in ACTIONS:
        return HttpResponse(status=404)
    try:
        found = _select_runs(request)
        add, drop = (
            run_annotations.tags_of(request.POST.get("add", "")),
            run_annotations.tags_of(request.POST.get("drop", "")),
        )
        actor = request.user.get_username()
        number = (
            run_annotations.tag(found, add, drop, actor=actor)
            if act == "tag"
            else run_annotations.archive(found, actor=actor)
            if act == "archive"
            else run_annotations.restore(found, actor=actor)
        )
    except (TrackingError, runs.FilterError) as error:
        return _refuse(request, str(error))
    done = {"tag": "tagged", "archive": "archived", "restore": "restored"}[act]
    return answer(
        request, f"{number:,} run{'' if number == 1 else 's'} {done}.", "runs", undo=_undo(request, act)
    )


def count(request: HttpRequest) -> JsonResponse:
    """Return the number of matching runs that the user may change."""
    return JsonResponse({"count": _select_runs(request).count()})


def _select_runs(request: HttpRequest) -> QuerySet[Run]:
    """Return the selected runs that the user may change. Raises FilterError."""
    writable = access.writable_runs(request.user)
    values = request.POST if request.method == "POST" else request.GET
    if not values.get("all"):
        return writable.filter(id__in=values.getlist("run")[: run_annotations.RUNS_LIMIT])
    asker = runs.Asker(access.runs_of(request.user), request.user.get_username(), timezone.now())
    found = runs.filtered(asker.runs, values.get("filter", ""), asker)
    return writable.filter(id__in=found.order_by().values("id"))


def _undo(request: HttpRequest, act: str) -> dict[str, object] | None:
    """Return the request that reverts an action on one named run; None for tags, whose old values are lost."""
    ids = request.POST.getlist("run")
    inverse = {"archive": "restore", "restore": "archive"}.get(act)
    if inverse is None or request.POST.get("all") or len(ids) != 1:
        return None
    return {"path": f"/runs/many/{inverse}/", "values": {"run": ids[0]}}


def _refuse(request: HttpRequest, message: str) -> HttpResponse:
    """Return 409 with the message, so that the typed text stays in its field."""
    events = {"said": {"text": message, "tone": "bad"}}
    return HttpResponse(
        message, status=409, content_type="text/plain", headers={"HX-Trigger": json.dumps(events)}
    )
