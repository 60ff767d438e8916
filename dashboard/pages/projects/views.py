"""List and page of projects, their changes, and moving runs between them."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from dashboard.access import get_scope
from dashboard.html.responses import answer
from dashboard.pages.projects import summaries
from dashboard.server.requests import UserRequest
from jobs.models import Project, Run
from jobs.tracking import deletion, projects
from jobs.tracking.external_runs import TrackingError

ROWS_A_PAGE = 50


@require_safe
def listing(request: UserRequest) -> HttpResponse:
    scope, text = get_scope(request), request.GET.get("q", "").strip()
    is_archived = request.GET.get("archived") == "1"
    rows = summaries.list_projects(scope, text, is_archived=is_archived)
    context = {
        "page": Paginator(rows, ROWS_A_PAGE).get_page(request.GET.get("page")),
        "q": text,
        "is_archived": is_archived,
        "num_archived": scope.seen(Project).exclude(archived_at=None).count(),
        "teams": scope.writable_teams(),
    }
    return render(request, "projects/list.html", context)


@require_safe
def detail(request: UserRequest, project_id: int) -> HttpResponse:
    scope = get_scope(request)
    project = scope.get(Project, project_id)
    context = summaries.build_summary(scope, project) | {
        "project": project,
        "may_write": scope.can_write(project),
        "events": project.events.order_by("-id")[:20],
    }
    template = "projects/_body.html" if request.headers.get("HX-Request") else "projects/page.html"
    return render(request, template, context)


@require_POST
def create(request: UserRequest) -> HttpResponse:
    team = get_scope(request).get_writable_team(request.POST.get("team"))
    try:
        made = projects.create(team, request.POST.get("name", "").strip(), actor=request.user.get_username())
    except projects.ProjectError as error:
        return answer(request, str(error), reverse("projects"), is_refused=True)
    return redirect("project", made.id)


@require_POST
def change(request: UserRequest, project_id: int) -> HttpResponse:
    """Rename, describe, archive or restore a project."""
    project = get_scope(request).get_writable(Project, project_id)
    actor, page = request.user.get_username(), reverse("project", args=[project.id])
    try:
        if "name" in request.POST:
            projects.rename(project, request.POST["name"].strip(), actor=actor)
        if "note" in request.POST:
            projects.describe(project, request.POST["note"].strip(), actor=actor)
    except projects.ProjectError as error:
        return answer(request, str(error), page, is_refused=True)
    if "archive" in request.POST:
        act = projects.archive if request.POST["archive"] else projects.restore
        act(project, actor=actor)
        done = "is archived; its runs are kept." if request.POST["archive"] else "is shown again."
        return answer(request, f"{project.name} {done}", page)
    return answer(request, f"{project.name} is saved.", page)


@require_POST
def move_run(request: UserRequest, run_id: str) -> HttpResponse:
    """Move a run to the project of this id; '' takes it out of its project."""
    scope = get_scope(request)
    run = scope.get_writable(Run, run_id)
    wanted = request.POST.get("project", "")
    target = scope.get_writable(Project, wanted) if wanted.isdecimal() else None
    page = reverse("run", args=[run.id])
    try:
        deletion.move_runs(Run.objects.filter(id=run.id), target, actor=request.user.get_username())
    except TrackingError as error:
        return answer(request, str(error), page, is_refused=True)
    return answer(
        request, f"{run.name} is {f'in project {target.name}' if target else 'in no project'} now.", page
    )
