"""Accuracy of predictions, the figures behind it, and device profiles."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import Http404, HttpRequest
from ninja import Query, Router, Schema

from dashboard.access import get_scope
from dashboard.api.shapes import Refusal
from dashboard.pages.planning import accuracy
from engine.request_limits import LONG_PAGE_ROWS, OFFSET
from engine.spec.spec import Problem, SpecError
from jobs.models import DeviceProfile
from jobs.planning import device_profiles
from jobs.verdicts import forecasts

router = Router(tags=["accuracy"])


class ErrorsOut(Schema):
    keys: dict[str, Any]
    n: int
    median_error: float  # of |predicted / measured - 1|; p90_error likewise
    p90_error: float
    bias: float  # signed median
    within_span: float  # share of figures between the predicted low and high
    median_error_calibrated: float | None  # of plans corrected by earlier runs
    n_calibrated: int
    median_error_uncalibrated: float  # of all plans, without corrections


class AccuracyOut(Schema):
    lines: list[ErrorsOut]


class JudgedOut(Schema):
    run: str  # '' for a run of a team outside the caller's scope
    field: str
    unit: str
    device: str
    dtype: str
    planner_version: int
    low: float
    point: float
    high: float
    raw: float  # the point without corrections
    learnt_from: int
    measured: float
    num_steps: int
    error: float
    raw_error: float
    judged_at: datetime


class JudgedPage(Schema):
    items: list[JudgedOut]
    next_offset: int | None


class ProfilesOut(Schema):
    items: list[dict[str, Any]]


@router.get("/accuracy", response={200: AccuracyOut, 422: Refusal})
def errors(request: HttpRequest, by: str = "field", field: str = "", device: str = "") -> dict[str, Any]:
    """Prediction errors over all judged runs. `by`: some of field, device, dtype and planner_version."""
    chosen = _choice({"by": by, "field": field, "device": device, "phases": "1"})
    rows = accuracy.judged(get_scope(request).can_see_details, chosen)
    found = accuracy.summaries(rows, chosen.by)
    return {"lines": [{"keys": one.keys, **one.to_json()} for one in found]}


@router.get("/accuracy/figures", response={200: JudgedPage, 422: Refusal})
def figures(
    request: HttpRequest, field: str = "", device: str = "", limit: int = Query(100, ge=1, le=LONG_PAGE_ROWS),
    offset: int = Query(0, ge=0, le=OFFSET),
) -> dict[str, Any]:  # fmt: skip
    """The single figures behind the errors, newest first."""
    chosen = _choice({"field": field, "device": device, "phases": "1"})
    rows = accuracy.judged(get_scope(request).can_see_details, chosen)
    shown, end = rows[offset : offset + limit], offset + limit
    return {
        "items": [accuracy.to_json(row) for row in shown],
        "next_offset": end if end < len(rows) else None,
    }


@router.get("/profiles", response=ProfilesOut)
def measured_profiles(request: HttpRequest) -> dict[str, Any]:
    """Device speeds as measured by probes."""
    found = DeviceProfile.objects.order_by("name", "cores", "torch")
    return {"items": [device_profiles.to_json(profile) for profile in found]}


def _choice(asked: dict[str, str]) -> accuracy.Choice:
    try:
        return accuracy.choice(asked)
    except Http404:
        known = f"by: {', '.join(accuracy.GROUPS)}; field: {', '.join(forecasts.BY_NAME)}"
        raise SpecError([Problem("by", f"Unknown field or grouping. Known: {known}.")]) from None
