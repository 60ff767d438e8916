"""Artefact files of runs: list, save, download."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import Http404, HttpRequest
from ninja import Query, Router, Schema

from dashboard.access import get_scope
from dashboard.api.paging import page
from dashboard.api.shapes import Refusal
from dashboard.files.downloads import FileDownload
from dashboard.files.uploads import declared_bytes, read_chunks
from engine.request_limits import FILE_PAGE_ROWS, OFFSET
from jobs.models import Run
from jobs.tracking import artefacts, external_runs

router = Router(tags=["runs"])


class ArtefactOut(Schema):
    id: str
    path: str
    size_bytes: int
    sha256: str
    saved_at: datetime
    actor: str


class ArtefactPage(Schema):
    items: list[ArtefactOut]
    next_offset: int | None


@router.get("/runs/{run_id}/artefacts", response={200: ArtefactPage, 404: Refusal})
def listing(
    request: HttpRequest,
    run_id: str,
    limit: int = Query(1000, ge=1, le=FILE_PAGE_ROWS),
    offset: int = Query(0, ge=0, le=OFFSET),
) -> dict[str, Any]:
    """The files of a run, sorted by path."""
    return page(get_scope(request).get(Run, run_id).artefacts.all(), limit, offset)


@router.put("/runs/{run_id}/artefacts", response={200: ArtefactOut, 404: Refusal, 413: Refusal, 422: Refusal})
def save(request: HttpRequest, run_id: str, path: str) -> Any:
    """Save the request's body as the file `path` of the run, replacing an existing one."""
    scope = get_scope(request)
    run = scope.get_writable(Run, run_id)
    artefacts.refuse_too_big(path, declared_bytes(request))
    made = artefacts.save(run, path, read_chunks(request), actor=scope.name)
    external_runs.touch(run)
    return made


@router.get("/runs/{run_id}/artefacts/{artefact_id}", response={404: Refusal, 410: Refusal})
def one(request: HttpRequest, run_id: str, artefact_id: str) -> FileDownload:
    """The content of one file. 410: the file is missing on disk."""
    found = get_scope(request).get(Run, run_id).artefacts.filter(id=artefact_id).first()
    if found is None:
        raise Http404
    return FileDownload(artefacts.find_file(found), found.path.rpartition("/")[2], found.size_bytes)
