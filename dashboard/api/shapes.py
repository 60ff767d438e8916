"""Schemas of the API's JSON objects."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ninja import Schema

from dashboard.api.node_shapes import NodeOut


class Problem(Schema):
    field: str
    message: str
    fix: dict[str, Any]  # changes of fields that would cure it


class Refusal(Schema):
    """Every error: a sentence, and for a spec each problem with its field."""

    detail: str
    problems: list[Problem] = []


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
    ]  # {"code", "values"} behind that sentence; "unknown_start" where none is expected
    position: int | None  # in the queue; 1 is served next
    expected_start_at: datetime | None  # at the latest, if nobody comes in ahead
    idle_stop_at: datetime | None  # when it is stopped because its devices stand idle
    idle_extended_by: str  # who has put that off, which goes once
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
    """One point of a sweep; without a job while it is not submitted, or where no pool could run it."""

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
    decisions: list[dict[str, Any]]  # one a decided rung: steps, members, promoted, values by number
    refused: dict[str, str]
    runs: list[SweepRow]  # best first


class SweepPage(Schema):
    items: list[SweepOut]
    next_offset: int | None


class SweepPreview(Schema):
    num_runs: int
    num_steps: int  # at the most
    rungs: list[int]
    points: list[dict[str, Any]]
    refused: dict[str, str]  # number of a point -> why


class TemplateIn(Schema):
    name: str
    description: str = ""
    spec: dict[str, Any]


class TemplateChange(Schema):
    """What is not given stays. With `version`, the change is refused where somebody has made one since."""

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
    job: str | None
    name: str
    state: str | None
    step: int | None
    team: str
    owner: str
    created_at: datetime
    project: str | None
    metrics: dict[str, float | str]  # newest values; NaN, Infinity and -Infinity as texts
    url: str


class RunDetail(RunOut):
    spec: dict[str, Any]
    plan: dict[str, Any]
    missing: dict[str, dict[str, tuple[str, str]]]  # source -> metric -> status, reason


class RunPage(Schema):
    items: list[RunOut]
    total: int  # of all pages
    next_offset: int | None


class MetricOut(Schema):
    """`last` is null with `last_kind` NaN, Infinity or -Infinity where the newest value is not finite."""

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


class SeriesOut(Schema):
    """One line with its band, column by column; null where a bucket holds no finite value."""

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
    count: int  # points that the line stands for
    non_finite: list[tuple[float, str]]  # x and NaN, Infinity or -Infinity
    borders: list[float]  # x where each later attempt begins
    border_attempts: list[int]  # the numbers of those attempts
    superseded: int  # points left out because a later attempt made their steps again


class Drawn(Schema):
    x: str
    series: list[SeriesOut]
    # run -> metric -> source ('' where it is not known which) -> status, reason; for what was asked and has no line
    missing: dict[str, dict[str, dict[str, tuple[str, str]]]]


class LogOut(Schema):
    attempt: int
    rank: int
    lines: list[str]
    is_cut: bool  # the log is longer than this
    size_bytes: int | None
    reason: str  # why there are no lines
    node: str  # the machine it was brought from; '': the web server's own
    read_at: datetime | None  # of a log that was brought: when its lines were new
    is_coming: bool  # ask again in two seconds: the agent of its node brings what is new


class AccountingLine(Schema):
    keys: dict[str, str]
    attempts: int
    device_s: float
    wasted_device_s: float
    energy_j: float | None  # null: not measured
    energy_measured_share: float  # of the device-seconds, what energy_j covers
    unused_device_s: float | None  # held and measured as not used; null: not measured
    use_measured_share: float
    carbon_g: float | None  # estimated, of the energy that was measured; null: no pool says what a kWh emits
    money: dict[str, float]  # by currency
    unpriced_device_s: float


class AccountingOut(Schema):
    lines: list[AccountingLine]


class PoolOut(Schema):
    """A limit that is null is none; without a price or tariff no money is booked."""

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


class Place(Schema):
    """`before` and `after` another job of its line; up, down, front and back without one."""

    where: str
    other: str = ""


class Chosen(Schema):
    priority: str
