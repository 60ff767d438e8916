"""Changes of runs: name, note, colour, tags, archive state."""

from __future__ import annotations

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_POST

from dashboard.access import get_scope
from dashboard.html.responses import answer, with_toast
from dashboard.server.replies import json_reply, text_reply
from engine.request_limits import BULK_RUNS
from jobs import runs
from jobs.models import Run
from jobs.tracking import run_annotations
from jobs.tracking.external_runs import TrackingError

FIELDS = ("name", "note", "colour")
ACTIONS = ("tag", "archive", "restore")


@require_POST
def change(request: HttpRequest, run_id: str) -> HttpResponse:
    """Change the name, note or colour of a run."""
    run = get_scope(request).get_writable(Run, run_id)
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
            run_annotations.tags_from_text(request.POST.get("add", "")),
            run_annotations.tags_from_text(request.POST.get("drop", "")),
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


def count(request: HttpRequest) -> HttpResponse:
    """Return the number of matching runs that the user may change."""
    return json_reply({"count": _select_runs(request).count()})


def _select_runs(request: HttpRequest) -> QuerySet[Run]:
    """Return the selected runs that the user may change. Raises FilterError."""
    writable = get_scope(request).writable(Run)
    values = request.POST if request.method == "POST" else request.GET
    if not values.get("all"):
        return writable.filter(id__in=values.getlist("run")[:BULK_RUNS])
    asker = runs.Asker(get_scope(request).seen(Run), request.user.get_username(), timezone.now())
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
    return with_toast(text_reply(message, 409), message, "bad")
