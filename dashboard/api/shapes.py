"""Schemas of the API's JSON objects."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ninja import Schema

from dashboard.api.node_shapes import NodeOut
from dashboard.api.strict import RequestBody


class ProblemOut(Schema):
    field: str
    message: str
    fix: dict[str, Any]  # changes of fields that fix it


class Refusal(Schema):
    """The form of every error: a sentence, and for a spec each problem with its field."""

    detail: str
    problems: list[ProblemOut] = []


class JobOut(Schema):
    id: str
    run: str | None
    name: str
    state: str
    team: str
    owner: str
    pool: str
    num_devices: int
    step: int
    num_steps: int
    attempt: int
    priority: str
    preemptible: bool
    waiting_reason: str
    waiting_for: dict[
        str, Any
    ]  # {"code", "values"} behind that sentence; "unknown_start" without an expected start
    position: int | None  # in the queue; 1 is served next
    expected_start_at: datetime | None  # at the latest, unless other jobs get ahead
    likely_start_at: datetime | None  # by pace, plans and ended jobs
    likely_start_unknown: str  # why there is none; '' otherwise
    limit_warning: str  # that it likely needs more than its time limit, and what would have to change
    idle_stop_at: datetime | None  # when it is stopped because its devices are idle
    idle_extended_by: str  # who postponed that, which is possible once
    reason: str
    cloned_from: str | None  # a run
    template: str | None
    submitted_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    url: str


class JobDetail(JobOut):
    spec: dict[str, Any]
    plan: dict[str, Any]


class JobPage(Schema):
    items: list[JobOut]
    next_offset: int | None


class SweepRow(Schema):
    """One point of a sweep; without a job before it is submitted, or if no pool can run it."""

    number: int
    values: dict[str, Any]
    run: str | None
    job: str | None
    state: str
    step: int
    value: float | None  # newest of the sweep's metric
    place: int | None  # 1 is best
    why: str


class SweepOut(Schema):
    id: str
    name: str
    team: str
    owner: str
    state: str
    reason: str
    num_points: int
    created_at: datetime
    ended_at: datetime | None


class SweepDetail(SweepOut):
    definition: dict[str, Any]
    rungs: list[int]
    decisions: list[dict[str, Any]]  # one for each decided rung: steps, members, promoted, values by number
    refused: dict[str, str]
    runs: list[SweepRow]  # best first


class SweepPage(Schema):
    items: list[SweepOut]
    next_offset: int | None


class SweepPreview(Schema):
    num_runs: int
    num_steps: int  # at most
    rungs: list[int]
    points: list[dict[str, Any]]
    refused: dict[str, str]  # number of a point -> reason


class TemplateIn(RequestBody):
    name: str
    description: str = ""
    spec: dict[str, Any]


class TemplateChange(RequestBody):
    """Omitted fields stay. With `version`, the change is refused if the template has changed since that version."""

    name: str | None = None
    description: str | None = None
    spec: dict[str, Any] | None = None
    version: int | None = None


class TemplateOut(Schema):
    id: str
    name: str
    description: str
    team: str
    version: int
    created_by: str
    created_at: datetime
    changed_by: str
    changed_at: datetime
    spec: dict[str, Any]


class Templates(Schema):
    items: list[TemplateOut]


class RunOut(Schema):
    id: str
    external_id: str  # the id that the run's client chose, '' for most; paths accept either
    job: str | None
    name: str
    state: str | None
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


class SeriesOut(Schema):
    """One line with its band, by column; null for a bucket without finite values."""

    run: str
    metric: str
    source: str
    unit: str
    label: str
    x: list[float]
    mean: list[float | None]
    min: list[float | None]
    max: list[float | None]
    is_raw: bool  # every point is shown: mean = min = max
    count: int  # points in the line
    non_finite: list[tuple[float, str]]  # x and NaN, Infinity or -Infinity
    borders: list[float]  # x where each later attempt begins
    border_attempts: list[int]  # the numbers of those attempts
    superseded: int  # points left out because a later attempt repeated their steps


class SeriesReply(Schema):
    x: str
    series: list[SeriesOut]
    # run -> metric -> source ('' if unknown) -> status, reason; for requested metrics without a line
    missing: dict[str, dict[str, dict[str, tuple[str, str]]]]


class LogOut(Schema):
    attempt: int
    rank: int
    lines: list[str]
    is_cut: bool  # the log is longer than this
    size_bytes: int | None
    reason: str  # why there are no lines
    node: str  # the machine it was copied from; '': the web server's own
    read_at: datetime | None  # when a copied log was current
    is_coming: bool  # ask again in two seconds: the agent of its node is copying new lines


class AccountingLine(Schema):
    keys: dict[str, str]
    attempts: int
    device_s: float
    wasted_device_s: float
    energy_j: float | None  # null: not measured
    energy_measured_share: float  # share of the device-seconds that energy_j covers
    unused_device_s: float | None  # held and measured as not used; null: not measured
    use_measured_share: float
    carbon_g: float | None  # estimated from the measured energy; null: no pool has its emissions per kWh
    money: dict[str, float]  # by currency
    unpriced_device_s: float


class AccountingOut(Schema):
    lines: list[AccountingLine]


class PoolOut(Schema):
    """Null: no limit. Without a price or tariff no money is booked."""

    name: str
    is_open: bool
    labels: dict[str, str]
    allowed_teams: list[str]  # their slugs; none: every team
    default_time_limit_s: int
    max_time_limit_s: int | None
    max_gang: int | None
    price_per_device_hour: float | None
    tariff_per_kwh: float | None
    currency: str
    num_waiting: int
    nodes: list[NodeOut]


class Pools(Schema):
    pools: list[PoolOut]


class QueueMoveIn(RequestBody):
    """`before` and `after` name another job of the same line; up, down, front and back do not."""

    where: str
    other: str = ""


class PriorityIn(RequestBody):
    priority: str
