"""Accuracy of predictions, the figures behind it, and device profiles."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from ninja import Query, Router, Schema

from dashboard.access import get_scope
from dashboard.api.shapes import Refusal
from engine.request_limits import LONG_PAGE_ROWS, OFFSET
from engine.spec.spec import Problem, SpecError
from jobs.models import DeviceProfile
from jobs.planning import device_profiles
from jobs.verdicts import accuracy

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
    n_unseen: int  # of configurations that no earlier run on the same device had
    median_error_unseen: float | None


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
    """Over all judged runs. `by` names some of field, device, dtype and planner_version."""
    query = _build_query(field, by, device)
    found = accuracy.summarise(accuracy.get_judged(query, get_scope(request).can_see_details), query.by)
    return {"lines": [{"keys": one.keys, **accuracy.serialize_summary(one)} for one in found]}


@router.get("/accuracy/figures", response={200: JudgedPage, 422: Refusal})
def figures(
    request: HttpRequest, field: str = "", device: str = "", limit: int = Query(100, ge=1, le=LONG_PAGE_ROWS),
    offset: int = Query(0, ge=0, le=OFFSET),
) -> dict[str, Any]:  # fmt: skip
    """The judged figures behind the errors, newest first."""
    rows = accuracy.get_judged(_build_query(field, "field", device), get_scope(request).can_see_details)
    shown, end = rows[offset : offset + limit], offset + limit
    return {
        "items": [accuracy.serialize_judged(row) for row in shown],
        "next_offset": end if end < len(rows) else None,
    }


@router.get("/profiles", response=ProfilesOut)
def measured_profiles(request: HttpRequest) -> dict[str, Any]:
    """Device speeds as measured by probes."""
    found = DeviceProfile.objects.order_by("name", "cores", "torch")
    return {"items": [device_profiles.serialize(profile) for profile in found]}


def _build_query(field: str, by: str, device: str) -> accuracy.AccuracyQuery:
    try:
        return accuracy.build_query(field, by, device, includes_phases=True)
    except accuracy.UnknownField as error:
        raise SpecError([Problem("by", str(error))]) from None
