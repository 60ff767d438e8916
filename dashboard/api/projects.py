"""Projects and the bin: list, create, change, move runs, delete, restore."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from django.db.models import Count, Max, Q
from django.http import HttpRequest
from ninja import Query, Router, Schema, Status
from pydantic import Field

from dashboard.access import Scope, get_scope
from dashboard.api.paging import page
from dashboard.api.runs import router as runs_router
from dashboard.api.shapes import Refusal
from engine.request_limits import BULK_RUNS, NOTE_CHARS, PROJECT_NAME_CHARS
from jobs.models import Deletion, Project, Run
from jobs.tracking import deletion, projects

router = Router(tags=["projects"])
MAX_ITEMS = 200
Name = Annotated[str, Field(min_length=1, max_length=PROJECT_NAME_CHARS)]
Ids = Annotated[list[str], Field(min_length=1, max_length=BULK_RUNS)]


class ProjectIn(Schema):
    name: Name
    note: Annotated[str, Field(max_length=NOTE_CHARS)] = ""


class ProjectChange(Schema):
    """Omitted fields stay."""

    name: Name | None = None
    note: Annotated[str, Field(max_length=NOTE_CHARS)] | None = None
    archived: bool | None = None


class ProjectOut(Schema):
    id: int
    name: str
    note: str
    team: str
    num_runs: int  # without archived ones
    newest_run_at: datetime | None
    archived_at: datetime | None
    created_at: datetime


class Projects(Schema):
    items: list[ProjectOut]
    next_offset: int | None


class MoveIn(Schema):
    """`project`: a name, created if the team has none; null takes the runs out of their project."""

    runs: Ids
    project: Name | None = None


class RunIds(Schema):
    runs: Ids


class MoveOut(Schema):
    moved: int  # that were elsewhere before


class DeletionOut(Schema):
    """A deletion: in_bin until `due_at`, then deleted for good; or restored."""

    id: int
    project: str  # '' if it was runs only
    runs: list[str]  # names of the first ones
    num_runs: int
    team: str
    actor: str
    at: datetime
    due_at: datetime
    state: str
    ended_at: datetime | None
    num_files: int
    freed_bytes: int


class Deletions(Schema):
    items: list[DeletionOut]
    next_offset: int | None


Limit = Annotated[int, Query(ge=1, le=MAX_ITEMS)]
Offset = Annotated[int, Query(ge=0, le=10**9)]


@router.get("/projects", response=Projects)
def listing(
    request: HttpRequest, archived: bool = False, limit: Limit = 100, offset: Offset = 0
) -> dict[str, Any]:
    """Projects of the caller's teams, by name."""
    found = _annotated(get_scope(request)).filter(archived_at__isnull=not archived)
    return page(found.order_by("name", "id"), limit, offset, _serialize)


@router.post("/projects", response={201: ProjectOut, 409: Refusal, 422: Refusal})
def create(request: HttpRequest, body: ProjectIn, team: str | None = None) -> Status:
    """Create an empty project. Runs create theirs by naming it."""
    scope = get_scope(request)
    made = projects.create(scope.get_writable_team(team), body.name, actor=scope.name)
    if body.note:
        projects.describe(made, body.note, actor=scope.name)
    return Status(201, _one(scope, made))


@router.get("/projects/{int:project_id}", response={200: ProjectOut, 404: Refusal})
def one(request: HttpRequest, project_id: int) -> dict[str, Any]:
    scope = get_scope(request)
    return _one(scope, scope.get(Project, project_id))


@router.patch(
    "/projects/{int:project_id}", response={200: ProjectOut, 404: Refusal, 409: Refusal, 422: Refusal}
)
def change(request: HttpRequest, project_id: int, body: ProjectChange) -> dict[str, Any]:
    """Rename, describe, archive or show a project."""
    scope = get_scope(request)
    project = scope.get_writable(Project, project_id)
    if body.name is not None:
        projects.rename(project, body.name, actor=scope.name)
    if body.note is not None:
        projects.describe(project, body.note, actor=scope.name)
    if body.archived is not None:
        (projects.archive if body.archived else projects.restore)(project, actor=scope.name)
    return _one(scope, project)


@router.delete("/projects/{int:project_id}", response={200: DeletionOut, 404: Refusal, 422: Refusal})
def delete(request: HttpRequest, project_id: int) -> dict[str, Any]:
    """Move a project with all its runs to the bin; after `due_at` they are deleted for good, with points and files."""
    scope = get_scope(request)
    project = scope.get_writable(Project, project_id)
    return _serialize_deletion(deletion.delete_project(project, actor=scope.name))


@router.post("/projects/move", response={200: MoveOut, 404: Refusal, 422: Refusal})
def move(request: HttpRequest, body: MoveIn) -> dict[str, int]:
    """Move runs of one team to a project: all or none."""
    scope = get_scope(request)
    rows = [scope.get_writable(Run, run) for run in body.runs]
    target = projects.get_or_create(rows[0].team, body.project) if body.project is not None else None
    found = Run.objects.filter(id__in=[row.id for row in rows])
    return {"moved": deletion.move_runs(found, target, actor=scope.name)}


@router.post("/bin", response={200: Deletions, 404: Refusal, 422: Refusal})
def delete_runs(request: HttpRequest, body: RunIds) -> dict[str, Any]:
    """Move runs to the bin, all or none; after `due_at` they are deleted for good, with points and files. Returns one
    deletion a team."""
    scope = get_scope(request)
    ids = [scope.get_writable(Run, run).id for run in body.runs]
    made = deletion.delete_runs(Run.objects.filter(id__in=ids), actor=scope.name)
    return {"items": [_serialize_deletion(row) for row in made], "next_offset": None}


@runs_router.delete(
    "/runs/{run_id}", tags=["projects"], response={200: DeletionOut, 404: Refusal, 422: Refusal}
)
def delete_run(request: HttpRequest, run_id: str) -> dict[str, Any]:
    """Move a run to the bin."""
    scope = get_scope(request)
    run = scope.get_writable(Run, run_id)
    return _serialize_deletion(deletion.delete_runs(Run.objects.filter(id=run.id), actor=scope.name)[0])


@router.get("/bin", response=Deletions)
def list_bin(request: HttpRequest, limit: Limit = 100, offset: Offset = 0) -> dict[str, Any]:
    """Deletions of the caller's teams, newest first: those in the bin, and the record of earlier ones."""
    return page(get_scope(request).listed(Deletion).order_by("-id"), limit, offset, _serialize_deletion)


@router.get("/bin/{int:deletion_id}", response={200: DeletionOut, 404: Refusal})
def one_deletion(request: HttpRequest, deletion_id: int) -> dict[str, Any]:
    return _serialize_deletion(get_scope(request).get(Deletion, deletion_id))


@router.post("/bin/{int:deletion_id}/restore", response={200: DeletionOut, 404: Refusal, 409: Refusal})
def restore(request: HttpRequest, deletion_id: int) -> Any:
    """Take everything of a deletion out of the bin. 409 once it is restored or deleted for good."""
    scope = get_scope(request)
    found = scope.get_writable(Deletion, deletion_id)
    if not deletion.restore(found, actor=scope.name):
        return Status(409, {"detail": f"{found.title} is not in the bin any more.", "problems": []})
    return _serialize_deletion(found)


def _annotated(scope: Scope) -> Any:
    shown = Q(runs__archived_at=None, runs__deletion=None)
    counts = {"n": Count("runs", filter=shown), "newest": Max("runs__created_at", filter=shown)}
    ids = scope.seen(Project).values("id")
    return Project.objects.filter(id__in=ids).select_related("team").annotate(**counts)


def _one(scope: Scope, project: Project) -> dict[str, Any]:
    return _serialize(_annotated(scope).get(id=project.id))


def _serialize(row: Any) -> dict[str, Any]:
    return {
        "id": row.id, "name": row.name, "note": row.note, "team": row.team.slug, "num_runs": row.n,
        "newest_run_at": row.newest, "archived_at": row.archived_at, "created_at": row.created_at,
    }  # fmt: skip


def _serialize_deletion(row: Deletion) -> dict[str, Any]:
    return {
        "id": row.id, "project": row.project_name, "runs": row.run_names, "num_runs": row.num_runs,
        "team": row.team.slug, "actor": row.actor, "at": row.at, "due_at": row.due_at, "state": row.state,
        "ended_at": row.ended_at, "num_files": row.num_files, "freed_bytes": row.freed_bytes,
    }  # fmt: skip
