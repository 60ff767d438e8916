"""Schemas of runs and of the summaries of their metrics."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ninja import Schema

from dashboard.api.shapes import State


class RunOut(Schema):
    id: str
    external_id: str  # the id that the run's client chose, '' for most; paths accept either
    job: str | None
    name: str
    state: State | None
    step: int | None
    team: str
    owner: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    last_seen_at: datetime | None  # last request of its writer, of a run without a job
    archived_at: datetime | None
    origin: str  # the program that logged it; '' for the run of a job
    project: str | None
    parent: str | None  # id of the run that it belongs to
    note: str
    metrics: dict[str, float | str]  # newest values; NaN, Infinity and -Infinity as texts
    params: dict[str, str] | None = None  # in a list only if `include` names them
    tags: dict[str, str] | None = None  # likewise
    url: str


class RunDetail(RunOut):
    spec: dict[str, Any]
    plan: dict[str, Any]
    missing: dict[str, dict[str, tuple[str, str]]]  # source -> metric -> status, reason


class MetricSummaryOut(Schema):
    """Of all points of the run itself; null: no finite value. `last_kind`: NaN, Infinity or -Infinity if the newest
    value is not finite."""

    metric: str
    last: float | None
    last_kind: str | None
    last_step: int | None
    min: float | None
    max: float | None
    mean: float | None
    num_finite: int
    count: int


class SummaryOut(Schema):
    metrics: list[MetricSummaryOut]
    next_offset: int | None


class RunPage(Schema):
    items: list[RunOut]
    total: int  # of all pages
    next_offset: int | None


class MetricOut(Schema):
    """`last` is null and `last_kind` NaN, Infinity or -Infinity if the newest value is not finite."""

    metric: str
    source: str
    unit: str
    label: str
    count: int
    last: float | None
    last_kind: str | None
    last_step: int | None
    last_at: float


class MetricsOut(Schema):
    metrics: list[MetricOut]
    missing: dict[str, dict[str, tuple[str, str]]]  # source -> metric -> status, reason
    total: int  # series that were found, also those beyond the limit
