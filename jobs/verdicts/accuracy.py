"""Accuracy of predictions: judged figures with their errors, and summaries."""

from __future__ import annotations

import json
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from engine.planner import outer_deciles
from jobs.models import Forecast, Run
from jobs.verdicts import forecasts

GROUPS = ("field", "device", "dtype", "planner_version")  # what summaries can be grouped by
HEADLINES = ("memory_bytes", "step_s", "tokens_per_s", "energy_j")  # the other fields are phases of a step
HIDDEN_NAME = "another team's run"
COLUMNS = (
    "run_id", "run__name", "field", "device", "dtype", "planner_version", "low", "point", "high", "raw", "learnt_from",
    "measured", "num_steps", "judged_at", "run__team_id",
)  # fmt: skip
# Of one judged figure, in files and over HTTP
FIGURES = (
    "run", "field", "unit", "device", "dtype", "planner_version", "low", "point", "high", "raw", "learnt_from",
    "measured", "num_steps", "error", "raw_error", "judged_at",
)  # fmt: skip


class UnknownField(ValueError):
    """A field or group that does not exist; the message names those that do."""


@dataclass(frozen=True)
class AccuracyQuery:
    field: str  # '' for all headline fields
    by: tuple[str, ...]  # of GROUPS
    device: str  # '' for all
    includes_phases: bool


@dataclass(frozen=True)
class JudgedForecast:
    """One predicted and measured figure of one run."""

    run: str  # '' where the reader may not see the run
    name: str
    field: str
    device: str
    dtype: str
    planner_version: int
    low: float
    point: float
    high: float
    raw: float  # point without corrections
    learnt_from: int
    measured: float
    num_steps: int
    judged_at: datetime
    is_unseen: bool = (
        False  # no earlier run on the same device had its model, batch, layout and number format
    )

    @property
    def error(self) -> float:
        return relative_error(self.point, self.measured)

    @property
    def raw_error(self) -> float:
        return relative_error(self.raw, self.measured)

    @property
    def is_within(self) -> bool:
        return self.low <= self.measured <= self.high


@dataclass(frozen=True)
class ErrorSummary:
    """Errors of one group of figures: medians and 90th percentiles of absolute values."""

    keys: dict[str, Any]
    n: int
    median: float
    p90: float
    bias: float  # signed median
    within: float  # share measured between low and high
    calibrated: float | None  # median of the corrected plans; None: there are none
    num_calibrated: int
    raw_median: float  # of all plans without corrections
    num_unseen: int = 0  # of configurations that no earlier run had
    unseen_median: float | None = None  # of these


@dataclass(frozen=True)
class RunForecast:
    """One field of one run; `error` and `is_within` are None unless it was predicted and measured."""

    field: forecasts.ForecastField
    row: Forecast
    is_phase: bool
    error: float | None
    is_within: bool | None


def relative_error(predicted: float, measured: float) -> float:
    """Error as a share of the measured figure: +0.1 is 10 % too high."""
    return predicted / measured - 1


def build_query(
    field: str = "", by: str = "field", device: str = "", *, includes_phases: bool = False
) -> AccuracyQuery:
    """Check a field and comma-separated groups. Raises UnknownField."""
    groups = tuple(filter(None, by.split(",")))
    if (field and field not in forecasts.BY_NAME) or not groups or not set(groups) <= set(GROUPS):
        known = f"by: {', '.join(GROUPS)}; field: {', '.join(forecasts.BY_NAME)}"
        raise UnknownField(f"Unknown field or group. Known: {known}.")
    return AccuracyQuery(field, groups, device, includes_phases)


def get_judged(query: AccuracyQuery, can_see: Callable[[int], bool]) -> list[JudgedForecast]:
    """Return all figures above 0 that were predicted and measured, newest first. Runs of teams that the reader may not
    see have no id or name. Two queries."""
    rows = Forecast.objects.filter(measured__gt=0, point__gt=0, planner_version__isnull=False)
    if query.field:
        rows = rows.filter(field=query.field)
    elif not query.includes_phases:
        rows = rows.filter(field__in=HEADLINES)
    if query.device:
        rows = rows.filter(device=query.device)
    found, unseen = [], find_unseen_runs()
    for run, name, *figures, team in rows.order_by("-judged_at", "-id").values_list(*COLUMNS):
        shown = (run, name) if can_see(team) else ("", HIDDEN_NAME)
        found.append(JudgedForecast(*shown, *figures, is_unseen=run in unseen))
    return found


def summarise(rows: Iterable[JudgedForecast], by: Sequence[str]) -> list[ErrorSummary]:
    """Summarise errors by group, in the order of the groups' values; fields in the order of their table."""
    groups: defaultdict[tuple[Any, ...], list[JudgedForecast]] = defaultdict(list)
    for row in rows:
        groups[tuple(getattr(row, name) for name in by)].append(row)
    keyed = sorted(groups.items(), key=lambda item: [_sort_key(part) for part in item[0]])
    return [_summarise_group(dict(zip(by, key, strict=True)), found) for key, found in keyed]


def get_run_forecasts(run: Run) -> list[RunForecast]:
    """Return the forecasts of a run by field. A phase that was neither predicted nor measured is left out."""
    rows = {row.field: row for row in Forecast.objects.filter(run=run)}
    found = []
    for field in forecasts.FIELDS:
        row, is_phase = rows.get(field.name), field.name not in HEADLINES
        if row is not None and not (is_phase and row.point is None and row.measured is None):
            found.append(_run_forecast(field, row, is_phase))
    return found


def find_unseen_runs() -> set[str]:
    """Judged runs of a configuration that no earlier judged run on the same kind of device had."""
    rows = Forecast.objects.filter(field=HEADLINES[1]).order_by("judged_at", "id")
    known: set[tuple[str, str]] = set()
    found = set()
    for run, device, spec in rows.values_list("run", "device", "run__spec"):
        key = (device, _fingerprint(spec or {}))
        if key not in known:
            known.add(key)
            found.add(run)
    return found


def _fingerprint(spec: Mapping[str, Any]) -> str:
    """What a prediction of memory and time depends on."""
    data, optimiser = spec.get("data") or {}, spec.get("optimiser") or {}
    parts = {name: spec.get(name) for name in ("model", "batch", "parallel", "precision")}
    parts |= {
        "objective": data.get("objective"),
        "tokenizer": data.get("tokenizer"),
        "vocabulary": data.get("vocab_size"),
    }
    return json.dumps(parts | {"optimiser": optimiser.get("name")}, sort_keys=True)


def count_judged_runs() -> int:
    return Forecast.objects.values("run").distinct().count()


def judged_devices() -> list[str]:
    return list(Forecast.objects.order_by("device").values_list("device", flat=True).distinct())


def serialize_judged(row: JudgedForecast) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in FIGURES if name != "unit"}
    return values | {"unit": forecasts.BY_NAME[row.field].unit, "judged_at": row.judged_at.isoformat()}


def serialize_summary(summary: ErrorSummary) -> dict[str, Any]:
    return {
        **summary.keys, "n": summary.n, "median_error": summary.median, "p90_error": summary.p90,
        "bias": summary.bias, "within_span": summary.within, "median_error_calibrated": summary.calibrated,
        "n_calibrated": summary.num_calibrated, "median_error_uncalibrated": summary.raw_median,
        "n_unseen": summary.num_unseen, "median_error_unseen": summary.unseen_median,
    }  # fmt: skip


def _sort_key(part: Any) -> str:
    names = list(forecasts.BY_NAME)
    return f"{names.index(part):02}" if part in names else str(part)


def _summarise_group(keys: dict[str, Any], rows: list[JudgedForecast]) -> ErrorSummary:
    errors = [abs(row.error) for row in rows]
    corrected = [abs(row.error) for row in rows if row.learnt_from]
    unseen = [abs(row.error) for row in rows if row.is_unseen]
    return ErrorSummary(
        keys=keys,
        n=len(rows),
        median=statistics.median(errors),
        p90=outer_deciles(errors)[1],
        bias=statistics.median(row.error for row in rows),
        within=sum(row.is_within for row in rows) / len(rows),
        calibrated=statistics.median(corrected) if corrected else None,
        num_calibrated=len(corrected),
        raw_median=statistics.median(abs(row.raw_error) for row in rows),
        num_unseen=len(unseen),
        unseen_median=statistics.median(unseen) if unseen else None,
    )


def _run_forecast(field: forecasts.ForecastField, row: Forecast, is_phase: bool) -> RunForecast:
    if not row.point or not row.measured:
        return RunForecast(field, row, is_phase, None, None)
    error = relative_error(row.point, row.measured)
    is_within = None
    if row.low is not None and row.high is not None:
        is_within = row.low <= row.measured <= row.high
    return RunForecast(field, row, is_phase, error if math.isfinite(error) else None, is_within)
