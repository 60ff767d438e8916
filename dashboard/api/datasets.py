"""Data sets: list, upload, read, keep, delete."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest, StreamingHttpResponse
from ninja import Query, Router, Schema, Status

from dashboard.access import get_scope
from dashboard.api.paging import page
from dashboard.api.shapes import Refusal
from dashboard.files.uploads import read_chunks
from dashboard.server import replies
from engine.data.corpora import DATASET_PREFIX
from engine.request_limits import LONG_PAGE_ROWS, OFFSET
from jobs import datasets
from jobs.models import Dataset

router = Router(tags=["data"])
BODY = {
    "requestBody": {
        "required": True,
        "description": "The file itself: text, JSONL or TSV in UTF-8",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


class DatasetOut(Schema):
    id: str
    corpus: str  # the value of data.corpus in a spec
    name: str
    state: str
    kind: str
    file_name: str
    licence: str
    note: str
    sha256: str
    size_bytes: int
    num_good: int
    num_bad: int
    statistics: dict[str, Any]
    created_at: datetime
    archived_at: datetime | None

    @staticmethod
    def resolve_corpus(found: Dataset) -> str:
        return f"{DATASET_PREFIX}{found.id}"


class DatasetPage(Schema):
    items: list[DatasetOut]
    next_offset: int | None


@router.get("/datasets", response=DatasetPage)
def listing(
    request: HttpRequest,
    limit: int = Query(100, ge=1, le=LONG_PAGE_ROWS),
    offset: int = Query(0, ge=0, le=OFFSET),
) -> dict[str, Any]:
    """Newest first."""
    return page(get_scope(request).listed(Dataset), limit, offset)


@router.post("/datasets", response={201: DatasetOut, 422: Refusal}, openapi_extra=BODY)
def upload(
    request: HttpRequest,
    file_name: str,
    name: str = "",
    licence: str = "",
    team: str | None = None,
    fields: str = "",
) -> Status:
    """Upload a file. Ready if every line is valid; else a draft, whose invalid lines `refused` lists.

    `fields` names the fields to read, as in text=review, label=stars; without it the known ones are read.
    """
    scope = get_scope(request)
    made = datasets.store_upload(
        team=scope.get_writable_team(team), owner=scope.user, name=name, file_name=file_name, licence=licence,
        chunks=read_chunks(request), fields=fields,
    )  # fmt: skip
    return Status(201, made)


@router.get("/datasets/{dataset_id}", response={200: DatasetOut, 404: Refusal})
def one(request: HttpRequest, dataset_id: str) -> Dataset:
    return get_scope(request).get(Dataset, dataset_id)


@router.get("/datasets/{dataset_id}/refused", response={404: Refusal})
def refused(request: HttpRequest, dataset_id: str) -> StreamingHttpResponse:
    """Every refused line as CSV: its number, the reason, and its beginning."""
    found = get_scope(request).get(Dataset, dataset_id)
    return StreamingHttpResponse(datasets.refused_csv(found), content_type=replies.CSV)


@router.post("/datasets/{dataset_id}/keep", response={200: DatasetOut, 404: Refusal, 422: Refusal})
def keep(request: HttpRequest, dataset_id: str) -> Dataset:
    """Make a draft ready with its valid lines."""
    scope = get_scope(request)
    found = scope.get_writable(Dataset, dataset_id)
    datasets.accept_draft(found, scope.user)
    found.refresh_from_db()
    return found


@router.delete("/datasets/{dataset_id}", response={204: None, 404: Refusal, 422: Refusal})
def delete(request: HttpRequest, dataset_id: str) -> Status:
    """Delete a draft, or the content of a ready data set; runs still name it."""
    scope = get_scope(request)
    datasets.remove(scope.get_writable(Dataset, dataset_id), scope.user)
    return Status(204, None)
