"""Checkpoints: list, files, lineage, and a new layout for a job."""

from __future__ import annotations

from typing import Any, Literal

from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from ninja import Router
from ninja.errors import HttpError

from dashboard.access import get_scope
from dashboard.api.checkpoint_shapes import CheckpointOut, LineageOut
from dashboard.api.jobs import serialize_detail, values_of
from dashboard.api.shapes import JobDetail, Refusal
from dashboard.files.checkpoints import download_checkpoint
from engine.spec.spec import Problem, SpecError
from jobs.attempts import checkpoint_files, checkpoints
from jobs.models import Job, Run
from jobs.queue import relayout
from jobs.runs import lineage

router = Router(tags=["checkpoints"])


@router.get("/runs/{run_id}/checkpoints", response={200: list[CheckpointOut], 404: Refusal})
def listing(request: HttpRequest, run_id: str) -> list[dict[str, Any]]:
    """The checkpoints that still exist, newest first."""
    run = get_scope(request).get(Run, run_id)
    return [checkpoint_files.serialize(one) for one in checkpoint_files.list_checkpoints(run)]


@router.get(
    "/runs/{run_id}/checkpoints/{step}/files",
    response={404: Refusal, 409: Refusal},
    openapi_extra={"responses": {200: {"description": "A tar", "content": {"application/x-tar": {}}}}},
)
def files(
    request: HttpRequest, run_id: str, step: int, form: Literal["checkpoint", "huggingface"] = "checkpoint"
) -> HttpResponseBase:
    """The files of one checkpoint as a tar: unchanged, or as a folder that `transformers` loads. 409 with the reason if
    they are on another machine, or the model has no Hugging Face equivalent."""
    row = checkpoints.at_step(get_scope(request).get(Run, run_id), step)
    if row is None:
        raise Http404
    try:
        return download_checkpoint(row, form)
    except checkpoint_files.FilesUnavailable as error:
        raise HttpError(409, str(error)) from None


@router.get("/runs/{run_id}/lineage", response={200: LineageOut, 404: Refusal})
def family(request: HttpRequest, run_id: str) -> dict[str, Any]:
    """The runs whose weights this run began with, and the runs that began with its weights, with checkpoint steps."""
    scope = get_scope(request)
    found = lineage.get_lineage(scope.get(Run, run_id), scope.opened(Run))
    return {
        "ancestors": [lineage.serialize(one) for one in found.ancestors],
        "children": [lineage.serialize(one) for one in found.children],
        "num_children": found.num_children,
    }


@router.post("/jobs/{job_id}/layout", response={200: JobDetail, 404: Refusal, 409: Refusal, 422: Refusal})
def layout(request: HttpRequest, job_id: str) -> dict[str, Any]:
    """A new layout for a paused, failed or cancelled job: the body is the changed part of the spec, such as
    {"parallel": {"data": 1}}. Then resume or retry the job; it continues from its newest checkpoint."""
    scope = get_scope(request)
    values = values_of(request)
    if not isinstance(values, dict):
        raise SpecError([Problem("", 'Send the fields that change, such as {"parallel": {"data": 1}}.')])
    return serialize_detail(relayout.change_layout(scope.get_writable(Job, job_id), values, actor=scope.name))
