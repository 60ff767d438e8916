"""Export of all points of a run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from ninja import Router
from ninja.errors import HttpError

from dashboard.access import get_scope
from dashboard.api.shapes import Refusal
from dashboard.server import replies
from jobs import exports
from jobs.models import Run

router = Router(tags=["runs"])


@router.get("/runs/{run_id}/export", response={200: None, 404: Refusal, 501: Refusal})
def points(request: HttpRequest, run_id: str, format: exports.Format = "csv") -> HttpResponseBase:
    """Every point of the run as written, including steps that a later attempt repeated: run, metric, source, attempt,
    step, time in microseconds since 1970, value. `format`: csv, json, jsonl or parquet."""
    run = get_scope(request).get(Run, run_id)
    pieces = exports.write_table(exports.points_table([run.id]), format)
    try:
        first = next(pieces, b"")
    except exports.ParquetUnavailable as error:
        raise HttpError(501, str(error)) from None
    response = StreamingHttpResponse(
        _served(request, first, pieces), content_type=exports.CONTENT_TYPES[format]
    )
    return replies.to_save(response, f"{run.id}-points.{format}")


def _served(
    request: HttpRequest, first: bytes, rest: Iterator[bytes]
) -> Iterator[bytes] | AsyncIterator[bytes]:
    """An iterator of the kind that the server sends piece by piece: Django reads the other kind into memory first."""
    return _awaited(first, rest) if hasattr(request, "scope") else _plain(first, rest)


def _plain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


async def _awaited(first: bytes, rest: Iterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    read_next = sync_to_async(lambda: next(rest, b""))
    while piece := await read_next():
        yield piece
