"""The bin: deletion of runs and projects, what is in it, and the way back."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from dashboard.access import get_scope
from dashboard.html.responses import answer
from dashboard.pages.projects import summaries
from dashboard.server.requests import UserRequest
from jobs.models import Deletion, Project, Run
from jobs.tracking import deletion
from jobs.tracking.external_runs import TrackingError
from jobs.tracking.projects import ProjectError

ROWS_A_PAGE = 50
DAY_S = 86400


@require_safe
def listing(request: UserRequest) -> HttpResponse:
    """What is in the bin, and the record of earlier deletions."""
    scope = get_scope(request)
    rows = scope.listed(Deletion).order_by("-id")
    context = {
        "page": Paginator(rows, ROWS_A_PAGE).get_page(request.GET.get("page")),
        "written": scope.member_team_ids,
        "keep_days": settings.BIN_KEEP_S / DAY_S,
    }
    return render(request, "projects/bin.html", context)


@require_POST
def restore(request: UserRequest, deletion_id: int) -> HttpResponse:
    found = get_scope(request).get_writable(Deletion, deletion_id)
    if not deletion.restore(found, actor=request.user.get_username()):
        return answer(request, f"{found.title} is not in the bin any more.", reverse("bin"), is_refused=True)
    return answer(request, f"{found.title} is back, with everything that belongs to it.", reverse("bin"))


@require_http_methods(["GET", "HEAD", "POST"])
def delete_run(request: UserRequest, run_id: str) -> HttpResponse:
    """GET: what the deletion takes away. POST: move the run to the bin."""
    run = get_scope(request).get_writable(Run, run_id)
    rows = Run.objects.filter(id=run.id)
    if request.method != "POST":
        context = {
            "run": run,
            "contents": summaries.count_contents(rows),
            "back": reverse("run", args=[run.id]),
        }
        return render(request, "projects/delete.html", context | _keep())
    try:
        deletion.delete_runs(rows, actor=request.user.get_username())
    except TrackingError as error:
        return answer(request, str(error), reverse("run-delete", args=[run.id]), is_refused=True)
    messages.success(request, f"{run.name} is in the bin.")
    return redirect("bin")


@require_http_methods(["GET", "HEAD", "POST"])
def delete_project(request: UserRequest, project_id: int) -> HttpResponse:
    """GET: what the deletion takes away. POST: move the project and its runs to the bin."""
    project = get_scope(request).get_writable(Project, project_id)
    if request.method != "POST":
        rows = Run.objects.filter(project=project, deletion=None)
        back = reverse("project", args=[project.id])
        context = {"project": project, "contents": summaries.count_contents(rows), "back": back}
        return render(request, "projects/delete.html", context | _keep())
    try:
        deletion.delete_project(project, actor=request.user.get_username())
    except (TrackingError, ProjectError) as error:
        return answer(request, str(error), reverse("project-delete", args=[project.id]), is_refused=True)
    messages.success(request, f"Project {project.name} is in the bin.")
    return redirect("bin")


def _keep() -> dict[str, float]:
    return {"keep_days": settings.BIN_KEEP_S / DAY_S}
