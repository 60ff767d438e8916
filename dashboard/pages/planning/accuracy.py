"""How right predictions were: every judged figure with its error, and errors summed up by field, device, number format
and planner version."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import Http404
from django.urls import reverse

from dashboard.charts import plots
from dashboard.charts.plots import Dot, Plot
from dashboard.html.format import as_small_time, as_unit
from jobs.models import Forecast, Run
from jobs.verdicts import forecasts

# What a row of the summary may be told apart by.
GROUPS = ("field", "device", "dtype", "planner_version")
GROUPS_SHOWN = {
    "field": "field",
    "field,device": "device",
    "field,device,dtype": "number format",
    "field,planner_version": "planner version",
}
HEADLINES = ("memory_bytes", "step_s", "tokens_per_s", "energy_j")  # each has a drawing
DRAWN = 1500  # newest points of one drawing
COLUMNS = (
    "run_id", "run__name", "field", "device", "dtype", "planner_version", "low", "point", "high", "raw", "learnt_from",
    "measured", "num_steps", "judged_at", "run__team_id",
)  # fmt: skip
# Of one judged figure, in files and over HTTP.
FIGURES = (
    "run", "field", "unit", "device", "dtype", "planner_version", "low", "point", "high", "raw", "learnt_from",
    "measured", "num_steps", "error", "raw_error", "judged_at",
)  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """One figure of one run with both sides."""

    run: str  # '' where the reader may not be told of it
    name: str
    field: str
    device: str
    dtype: str
    planner_version: int
    low: float
    point: float
    high: float
    raw: float
    learnt_from: int
    measured: float
    num_steps: int
    judged_at: Any

    @property
    def error(self) -> float:
        """Of the measured figure: +0.1 is a tenth too much."""
        return self.point / self.measured - 1

    @property
    def raw_error(self) -> float:
        return self.raw / self.measured - 1

    @property
    def is_within(self) -> bool:
        """Whether it came out between what was called low and high."""
        return self.low <= self.measured <= self.high


@dataclass(frozen=True)
class Summary:
    """Errors of the figures of one group: medians and 90th percentiles of their sizes."""

    keys: dict[str, Any]
    n: int
    median: float
    p90: float
    bias: float  # median with its sign
    within: float  # share that came out between low and high
    calibrated: float | None  # median of those whose plan was corrected; None: there is none
    num_calibrated: int
    raw_median: float  # of all, as they would have been without any correction

    def to_json(self) -> dict[str, Any]:
        return {
            **self.keys, "n": self.n, "median_error": self.median, "p90_error": self.p90,
            "bias": self.bias, "within_span": self.within, "median_error_calibrated": self.calibrated,
            "n_calibrated": self.num_calibrated, "median_error_uncalibrated": self.raw_median,
        }  # fmt: skip


@dataclass(frozen=True)
class Choice:
    """Read from an address. Raises Http404 for a field or group that is none."""

    field: str
    by: tuple[str, ...]
    device: str
    phases: bool  # whether the phases of a step are told too


def choice(asked: Mapping[str, str]) -> Choice:
    field, by = asked.get("field", ""), tuple(filter(None, asked.get("by", "field").split(",")))
    if (field and field not in forecasts.BY_NAME) or not by or not set(by) <= set(GROUPS):
        raise Http404
    return Choice(field, by, asked.get("device", ""), asked.get("phases") == "1")


def judged(told: Callable[[int], bool], chosen: Choice) -> list[Judged]:
    """Newest first: figures of everybody's runs that were predicted and measured, neither of them nought; whose they
    are is said only where `told` allows it. One query."""
    rows = Forecast.objects.filter(measured__gt=0, point__gt=0, planner_version__isnull=False)
    if chosen.field:
        rows = rows.filter(field=chosen.field)
    elif not chosen.phases:
        rows = rows.filter(field__in=HEADLINES)
    if chosen.device:
        rows = rows.filter(device=chosen.device)
    found = []
    for run, name, *figures, team in rows.order_by("-judged_at", "-id").values_list(*COLUMNS):
        found.append(Judged(*((run, name) if told(team) else ("", "another team's run")), *figures))
    return found


def to_json(row: Judged) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in FIGURES if name != "unit"}
    return values | {"unit": forecasts.BY_NAME[row.field].unit, "judged_at": row.judged_at.isoformat()}


def shown(row: Judged) -> dict[str, Any]:
    """A row of the page's list."""
    write = writer(row.field)
    return {
        "row": row, "field": forecasts.BY_NAME[row.field], "point": write(row.point), "measured": write(row.measured),
        "span": f"{write(row.low)} to {write(row.high)}" if row.low < row.high else "",
    }  # fmt: skip


def num_runs() -> int:
    """That were judged, predicted or not."""
    return Forecast.objects.values("run").distinct().count()


def devices() -> list[str]:
    return list(Forecast.objects.order_by("device").values_list("device", flat=True).distinct())


def summaries(rows: Iterable[Judged], by: Sequence[str]) -> list[Summary]:
    """By field first where they are told apart by it, in the order of the table of fields."""
    groups: defaultdict[tuple[Any, ...], list[Judged]] = defaultdict(list)
    for row in rows:
        groups[tuple(getattr(row, name) for name in by)].append(row)
    keyed = sorted(groups.items(), key=lambda item: [_place(part) for part in item[0]])
    return [_summary(dict(zip(by, key, strict=True)), found) for key, found in keyed]


def _place(part: Any) -> str:
    """Fields in the order of their table, everything else by its name."""
    names = list(forecasts.BY_NAME)
    return f"{names.index(part):02}" if part in names else str(part)


def _summary(keys: dict[str, Any], rows: list[Judged]) -> Summary:
    errors = [abs(row.error) for row in rows]
    corrected = [abs(row.error) for row in rows if row.learnt_from]
    return Summary(
        keys=keys,
        n=len(rows),
        median=statistics.median(errors),
        p90=ninth_tenth(errors),
        bias=statistics.median(row.error for row in rows),
        within=sum(row.is_within for row in rows) / len(rows),
        calibrated=statistics.median(corrected) if corrected else None,
        num_calibrated=len(corrected),
        raw_median=statistics.median(abs(row.raw_error) for row in rows),
    )


def ninth_tenth(values: Sequence[float]) -> float:
    """The 90th percentile, between neighbours where it falls between them."""
    return statistics.quantiles(values, n=10, method="inclusive")[-1] if len(values) > 1 else values[0]


def drawings(rows: Iterable[Judged], only: str = "") -> list[tuple[forecasts.ForecastField, Plot, int]]:
    """One drawing a headline field that has points, or of the one that is asked for: measured along x, predicted along
    y, both logarithmic; and how many points it has."""
    found: defaultdict[str, list[Judged]] = defaultdict(list)
    for row in rows:
        found[row.field].append(row)
    wanted: Collection[str] = (only,) if only else HEADLINES
    return [
        (forecasts.BY_NAME[name], _drawing(name, found[name][:DRAWN]), len(found[name]))
        for name in wanted
        if found[name]
    ]


def _drawing(field: str, rows: list[Judged]) -> Plot:
    write = writer(field)
    values = [value for row in rows for value in (row.measured, row.point)]
    unit = forecasts.BY_NAME[field].unit
    how: dict[str, Any] = {"base": 2} if unit == "bytes" else {}
    if unit == "s":
        how = {"round_numbers": plots.DURATIONS}
    x, y = plots.axis(values, write, is_x=True, **how), plots.axis(values, write, is_x=False, **how)
    dots = [
        Dot(x.at(row.measured), y.at(row.point), _said(row, write), "tone-1" if row.learnt_from else "is-off",
            reverse("run", args=[row.run]) if row.run else "")
        for row in rows
    ]  # fmt: skip
    ends = (x.at(x.low), y.at(y.low), x.at(x.high), y.at(y.high))
    return Plot(x, y, dots, x_title="measured", y_title="predicted", diagonal=ends)


def _said(row: Judged, write: Callable[[float], str]) -> str:
    learnt = f"corrected by {row.learnt_from} runs" if row.learnt_from else "without a correction"
    return f"{row.name}: predicted {write(row.point)}, measured {write(row.measured)} ({row.error:+.0%}), {learnt}"


def of_run(run: Run) -> list[dict[str, Any]]:
    """Field by field for the run's own page; a phase that was neither predicted nor measured is left out."""
    rows = {row.field: row for row in Forecast.objects.filter(run=run)}
    found = []
    for field in forecasts.FIELDS:
        row = rows.get(field.name)
        if row is None or (field.name not in HEADLINES and row.point is None and row.measured is None):
            continue
        write = writer(field.name)
        error = row.point / row.measured - 1 if row.point and row.measured else None
        found.append(
            {
                "field": field,
                "is_phase": field.name not in HEADLINES,
                "row": row,
                "point": None if row.point is None else write(row.point),
                "span": _span(row, write),
                "measured": None if row.measured is None else write(row.measured),
                "error": error if error is None or math.isfinite(error) else None,
                "is_within": row.low <= row.measured <= row.high if row.point and row.measured else None,
            }
        )
    return found


def _span(row: Forecast, write: Callable[[float], str]) -> str:
    if row.low is None or row.high is None or row.low == row.high:
        return ""
    return f"{write(row.low)} to {write(row.high)}"


def writer(field: str) -> Callable[[float], str]:
    """How a figure of this field is written; short times in their own unit."""
    unit = forecasts.BY_NAME[field].unit
    return lambda value: as_small_time(value) if unit == "s" and value < 1 else as_unit(value, unit)
