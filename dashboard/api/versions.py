"""Versions of named sets of files."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from ninja import Query, Router
from pydantic import Field

from dashboard.access import Scope, get_scope
from dashboard.api.shapes import Refusal
from dashboard.api.strict import ReplyBody, RequestBody
from engine.request_limits import KEY_CHARS, NOTE_CHARS, OFFSET, PAGE_ROWS, VERSION_FILES
from jobs.models import ArtefactVersion, Run
from jobs.tracking import points, versions

router = Router(tags=["runs"])
Name = Annotated[str, Field(max_length=KEY_CHARS)]


class VersionFileIn(RequestBody):
    """A file below the version's prefix, or a `reference` to one elsewhere."""

    path: Annotated[str, Field(max_length=500)]
    size_bytes: Annotated[int, Field(ge=0)] = 0
    sha256: Annotated[str, Field(max_length=64)] = ""
    reference: Annotated[str, Field(max_length=2000)] = ""


class VersionIn(RequestBody):
    """`digest`: of the names and contents of the files; with that of the newest version, no new one is made."""

    name: Annotated[str, Field(min_length=1, max_length=KEY_CHARS)]
    kind: Name = ""
    note: Annotated[str, Field(max_length=NOTE_CHARS)] = ""
    prefix: Annotated[str, Field(min_length=1, max_length=400)]
    digest: Annotated[str, Field(min_length=1, max_length=64)]
    files: Annotated[list[VersionFileIn], Field(max_length=VERSION_FILES)] = []
    aliases: Annotated[list[Name], Field(max_length=100)] = []
    facts: dict[str, Any] = {}


class VersionOut(ReplyBody):
    id: str
    name: str
    version: str  # v0, v1, ...
    number: int
    kind: str
    note: str
    project: str | None
    run: str
    prefix: str
    digest: str
    aliases: list[str]
    facts: dict[str, Any]
    created_at: datetime
    files: list[dict[str, Any]]
    missing: list[str]  # files that are not uploaded yet


class VersionPage(ReplyBody):
    items: list[VersionOut]
    next_offset: int | None


@router.post("/runs/{run_id}/versions", response={200: VersionOut, 404: Refusal, 409: Refusal, 422: Refusal})
def create(request: HttpRequest, run_id: str, body: VersionIn) -> dict[str, Any]:
    """Make the next version of a name in the run's project. Its files are the run's artefacts below `prefix`."""
    scope = get_scope(request)
    run = scope.get_writable(Run, run_id)
    points.refuse_job_run(run)
    return _serialize(versions.create(run, **body.dict(), actor=scope.name))


@router.get("/versions", response={200: VersionPage})
def listing(
    request: HttpRequest,
    project: str | None = None,
    name: str | None = None,
    run: str | None = None,
    limit: int = Query(100, ge=1, le=PAGE_ROWS),
    offset: int = Query(0, ge=0, le=OFFSET),
) -> dict[str, Any]:
    """Versions of the caller's teams, by name, the newest first."""
    rows = _opened(get_scope(request))
    for lookup, value in (("project__name", project), ("name", name), ("run", run)):
        rows = rows.filter(**{lookup: value}) if value is not None else rows
    found = list(rows.order_by("name", "-number", "id")[offset : offset + limit + 1])
    return {
        "items": [_serialize(one) for one in found[:limit]],
        "next_offset": offset + limit if len(found) > limit else None,
    }


@router.get("/versions/find", response={200: VersionOut, 404: Refusal})
def find(request: HttpRequest, name: str, project: str | None = None) -> dict[str, Any]:
    """The version that `name`, `name:v3`, `name:latest` or `name:alias` names."""
    rows = _opened(get_scope(request))
    if project is not None:
        rows = rows.filter(project__name=project) if project else rows.filter(project=None)
    found = versions.find(rows, name)
    if found is None:
        raise Http404
    return _serialize(found)


def _opened(scope: Scope) -> QuerySet[ArtefactVersion]:
    return ArtefactVersion.objects.filter(run__in=scope.opened(Run).order_by().values("id")).select_related(
        "project"
    )


def _serialize(version: ArtefactVersion) -> dict[str, Any]:
    names = ("id", "name", "number", "kind", "note", "prefix", "digest", "facts", "created_at", "files")
    return {name: getattr(version, name) for name in names} | {
        "version": f"v{version.number}",
        "project": version.project.name if version.project else None,
        "run": version.run_id,
        "aliases": version.aliases,
        "missing": versions.list_missing(version),
    }
