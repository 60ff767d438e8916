"""Changes of runs: name, note, colour, tags, project, archive and bin."""

from __future__ import annotations

from collections.abc import Callable

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from dashboard.access import get_scope
from dashboard.html.responses import answer, with_toast
from dashboard.server.replies import json_reply, text_reply
from engine.request_limits import BULK_RUNS
from jobs import runs
from jobs.models import Run, Team
from jobs.tracking import deletion, projects, run_annotations
from jobs.tracking.external_runs import TrackingError

FIELDS = ("name", "note", "colour")


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
    """Change the named runs, or with `all` every run that `filter` finds."""
    if act not in BULK_ACTIONS:
        return HttpResponse(status=404)
    try:
        done, undo = BULK_ACTIONS[act](request, _select_runs(request))
    except (TrackingError, runs.FilterError) as error:
        return _refuse(request, str(error))
    return answer(request, done, "runs", undo=undo)


Done = tuple[str, dict[str, object] | None]  # the sentence, and the request that reverts it


def _tag(request: HttpRequest, found: QuerySet[Run]) -> Done:
    add = run_annotations.tags_from_text(request.POST.get("add", ""))
    drop = run_annotations.tags_from_text(request.POST.get("drop", ""))
    number = run_annotations.tag(found, add, drop, actor=request.user.get_username())
    return f"{_count_text(number)} tagged.", None  # the old values of the tags are lost


def _archive(request: HttpRequest, found: QuerySet[Run]) -> Done:
    number = run_annotations.archive(found, actor=request.user.get_username())
    return f"{_count_text(number)} archived.", _undo(request, "restore")


def _restore(request: HttpRequest, found: QuerySet[Run]) -> Done:
    number = run_annotations.restore(found, actor=request.user.get_username())
    return f"{_count_text(number)} restored.", _undo(request, "archive")


def _delete(request: HttpRequest, found: QuerySet[Run]) -> Done:
    made = deletion.delete_runs(found, actor=request.user.get_username())
    number = sum(one.num_runs for one in made)
    undo = {"path": reverse("bin-restore", args=[made[0].id]), "values": {}} if len(made) == 1 else None
    return f"{_count_text(number)} moved to the bin.", undo


def _move(request: HttpRequest, found: QuerySet[Run]) -> Done:
    """To the project named by the text, which is created if the team has none; '' for no project."""
    name = request.POST.get("project", "").strip()
    actor, teams = (
        request.user.get_username(),
        list(found.order_by().values_list("team", flat=True).distinct()[:2]),
    )
    if name and len(teams) > 1:
        raise TrackingError(
            "These runs belong to several teams. A project belongs to one: move them team by team."
        )
    try:
        target = projects.get_or_create(Team.objects.get(id=teams[0]), name) if name and teams else None
    except projects.ProjectError as error:
        raise TrackingError(str(error)) from None
    number = deletion.move_runs(found, target, actor=actor)
    return f"{_count_text(number)} moved to {f'project {name}' if name else 'no project'}.", None


BULK_ACTIONS: dict[str, Callable[[HttpRequest, QuerySet[Run]], Done]] = {
    "tag": _tag,
    "archive": _archive,
    "restore": _restore,
    "delete": _delete,
    "move": _move,
}


def _count_text(number: int) -> str:
    return f"{number:,} run{'' if number == 1 else 's'}"


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


def _undo(request: HttpRequest, inverse: str) -> dict[str, object] | None:
    """Return the request that reverts an action on one named run."""
    ids = request.POST.getlist("run")
    if request.POST.get("all") or len(ids) != 1:
        return None
    return {"path": f"/runs/many/{inverse}/", "values": {"run": ids[0]}}


def _refuse(request: HttpRequest, message: str) -> HttpResponse:
    """Return 409 with the message, so that the typed text stays in its field."""
    return with_toast(text_reply(message, 409), message, "bad")
