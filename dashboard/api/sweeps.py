"""Sweeps: preview, submit, read, pause, resume, cancel."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest
from ninja import Query, Router, Status
from ninja.errors import HttpError

from dashboard.access import get_scope
from dashboard.api.compressed_bodies import json_or_yaml_body
from dashboard.api.jobs import values_of
from dashboard.api.paging import page
from dashboard.api.shapes import Refusal, SweepDetail, SweepPage, SweepPreview
from engine.request_limits import OFFSET, PAGE_ROWS, REASON_CHARS, SPEC_BYTES
from engine.spec.problems import Problem, SpecError
from engine.spec.spec import parse
from jobs.models import Sweep
from jobs.sweeps import ranking, sweep_actions

router = Router(tags=["sweeps"])
BODY = json_or_yaml_body(
    "{'spec': ..., 'sweep': {'strategy', 'vary', 'count', 'parallel', ...}}, as JSON or YAML"
)


@router.post("/sweeps", response={201: SweepDetail, 413: Refusal, 422: Refusal}, openapi_extra=BODY)
def submit(request: HttpRequest, team: str | None = None) -> Status:
    """Start a sweep. Points that no pool can run are left out, with the reason in `refused`."""
    scope = get_scope(request)
    target = scope.get_writable_team(team)
    try:
        parts = _parts(request)
    except RequestDataTooBig:
        raise HttpError(413, f"The sweep is too large; the limit is {SPEC_BYTES:,} bytes.") from None
    return Status(201, serialize_detail(sweep_actions.submit(**parts, team=target, owner=scope.user)))


@router.post("/sweeps/preview", response={200: SweepPreview, 422: Refusal}, openapi_extra=BODY)
def preview(request: HttpRequest, team: str | None = None) -> dict[str, Any]:
    """The runs that a sweep would start, without starting any."""
    scope = get_scope(request)
    target = scope.get_writable_team(team)
    seen = sweep_actions.preview(**_parts(request), team=target, owner=scope.user)
    return {
        "num_runs": seen.num_runs,
        "num_steps": seen.num_steps,
        "rungs": seen.rungs,
        "points": seen.points,
        "refused": {str(number): why for number, why in seen.refused.items()},
    }


@router.get("/sweeps", response=SweepPage)
def listing(
    request: HttpRequest,
    state: str | None = None,
    limit: int = Query(100, ge=1, le=PAGE_ROWS),
    offset: int = Query(0, ge=0, le=OFFSET),
) -> dict[str, Any]:
    """Newest first."""
    found = get_scope(request).listed(Sweep)
    if state:
        found = found.filter(state=state)
    return page(found.order_by("-created_at", "id"), limit, offset, serialize)


@router.get("/sweeps/{sweep_id}", response={200: SweepDetail, 404: Refusal})
def one(request: HttpRequest, sweep_id: str) -> dict[str, Any]:
    """A sweep with its runs, best first."""
    return serialize_detail(get_scope(request).get(Sweep, sweep_id))


@router.post("/sweeps/{sweep_id}/pause", response={200: SweepDetail, 404: Refusal, 409: Refusal})
def pause(request: HttpRequest, sweep_id: str) -> dict[str, Any]:
    """Pause all jobs of the sweep after their current steps, with a checkpoint."""
    scope = get_scope(request)
    return serialize_detail(sweep_actions.pause(scope.get_writable(Sweep, sweep_id), scope.name))


@router.post("/sweeps/{sweep_id}/resume", response={200: SweepDetail, 404: Refusal, 409: Refusal})
def resume(request: HttpRequest, sweep_id: str) -> dict[str, Any]:
    scope = get_scope(request)
    return serialize_detail(sweep_actions.resume(scope.get_writable(Sweep, sweep_id), scope.name))


@router.post("/sweeps/{sweep_id}/cancel", response={200: SweepDetail, 404: Refusal, 409: Refusal})
def cancel(
    request: HttpRequest, sweep_id: str, reason: str = Query("", max_length=REASON_CHARS)
) -> dict[str, Any]:
    """Cancel all jobs of the sweep that have not ended."""
    scope = get_scope(request)
    return serialize_detail(sweep_actions.cancel(scope.get_writable(Sweep, sweep_id), scope.name, reason))


def serialize(sweep: Sweep) -> dict[str, Any]:
    return {
        **ranking.summary(sweep),
        "num_points": len(sweep.points),
        "created_at": sweep.created_at,
        "ended_at": sweep.ended_at,
    }


def serialize_detail(sweep: Sweep) -> dict[str, Any]:
    return {
        **ranking.to_json(sweep, ranking.build_ranking(sweep)),
        **serialize(sweep),
        "refused": sweep.refused,
    }


def _parts(request: HttpRequest) -> dict[str, Any]:
    """Raises SpecError."""
    values = values_of(request) if request.body else None
    if not isinstance(values, dict) or "sweep" not in values or set(values) - {"spec", "sweep"}:
        raise SpecError([Problem("", "A sweep has two parts: 'spec' and 'sweep'.")])
    return {"spec": parse(values.get("spec") or {}), "values": values["sweep"]}
