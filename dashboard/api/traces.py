"""Profiles of single steps, and timelines."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from ninja import Query, Router, Schema, Status

from dashboard.access import get_scope
from dashboard.api.shapes import Refusal
from dashboard.pages.runs.trace_views import download
from engine.directory import TRACE_STEPS
from jobs.attempts import timelines, traces
from jobs.models import Job, Run, TraceFile

router = Router(tags=["runs"])


class TraceRequested(Schema):
    number: int
    steps: int
    ranks: list[int]


class TraceOut(Schema):
    """`size_bytes` is null until the file has been copied; `reason` says why it cannot be."""

    id: int
    attempt: int
    rank: int
    first_step: int
    steps: int
    asked_at: datetime
    actor: str
    size_bytes: int | None
    reason: str


class TimelineOut(Schema):
    """`events`: kind, number (for a pass, the micro-batch), begin, length and waiting time, in microseconds after
    `began_at` (unix seconds)."""

    attempt: int
    step: int
    rank: int
    stage: int
    data_rank: int
    tensor_rank: int
    began_at: float
    step_s: float
    events: list[tuple[str, int, int, int, int]]


@router.post("/jobs/{job_id}/trace", response={201: TraceRequested, 404: Refusal, 409: Refusal})
def ask(
    request: HttpRequest,
    job_id: str,
    steps: int = Query(3, ge=1, le=TRACE_STEPS),
    rank: list[int] = Query([0]),  # noqa: B008
) -> Status:
    """Profile the next steps of a running job by the given ranks."""
    scope = get_scope(request)
    made = traces.request_trace(
        scope.get_writable(Job, job_id), num_steps=steps, ranks=rank, actor=scope.name
    )
    return Status(201, {"number": made.number, "steps": made.num_steps, "ranks": made.ranks})


@router.get("/runs/{run_id}/traces", response={200: list[TraceOut], 404: Refusal})
def listing(request: HttpRequest, run_id: str) -> list[dict[str, Any]]:
    """Newest first."""
    run = get_scope(request).get(Run, run_id)
    return [_serialize(file) for file in traces.list_files(run.job)] if run.job else []


@router.get("/runs/{run_id}/traces/{trace_id}", response={404: Refusal})
def one(request: HttpRequest, run_id: str, trace_id: int) -> HttpResponse:
    """The content of one profile: Chrome's trace format, compressed with gzip."""
    run = get_scope(request).get(Run, run_id)
    found = TraceFile.objects.filter(id=trace_id, trace__attempt__job=run.job_id).first()
    if found is None or found.size_bytes is None:
        raise Http404
    return download(run, found)


@router.get("/runs/{run_id}/timelines", response={200: list[TimelineOut], 404: Refusal})
def drawn(
    request: HttpRequest, run_id: str, attempt: int | None = None, step: int | None = None
) -> list[dict[str, Any]]:
    """All ranks of one recorded step, by default the last one of the newest attempt."""
    run = get_scope(request).get(Run, run_id)
    place = timelines.find_newest(run, attempt, step)
    rows = timelines.list_ranks(run, place) if place else []
    return [
        {name: getattr(row, name) for name in TimelineOut.model_fields if name != "attempt"}
        | {"attempt": row.attempt_number}
        for row in rows
    ]


def _serialize(file: TraceFile) -> dict[str, Any]:
    return {
        "id": file.id,
        "attempt": file.trace.attempt.number,
        "rank": file.rank,
        "first_step": file.first_step,
        "steps": file.trace.num_steps,
        "asked_at": file.trace.asked_at,
        "actor": file.trace.actor,
        "size_bytes": file.size_bytes,
        "reason": file.reason,
    }
