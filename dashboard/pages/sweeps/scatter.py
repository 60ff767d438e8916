"""Scatter plots of a sweep: its metric over each varied field."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from dashboard.charts import plots
from dashboard.charts.plots import SMALL, CategoryAxis, Dot, Plot
from dashboard.html.badges import JOB_BADGES
from engine.sweep import SweepDefinition, SweepRange
from jobs.sweeps.ranking import RankedRun

LOG_RATIO = 50.0  # values with a larger ratio of highest to lowest are drawn on a logarithmic axis


@dataclass(frozen=True)
class Scatter:
    path: str
    plot: Plot

    @property
    def is_log(self) -> bool:
        return self.plot.y.base is not None


def build_scatters(definition: SweepDefinition, rows: Iterable[RankedRun]) -> list[Scatter]:
    """Return a plot per field; runs without a value have no dot."""
    shown = [row for row in rows if row.value is not None and row.run is not None]
    return [Scatter(path, _build_plot(definition, path, shown)) for path in definition.vary] if shown else []


def _build_plot(definition: SweepDefinition, path: str, rows: list[RankedRun]) -> Plot:
    metric = [row.value for row in rows if row.value is not None]
    x = _build_x_axis(definition.vary[path], [row.values[path] for row in rows])
    y = plots.axis(metric, _format_value, is_x=False, base=_base(_has_wide_range(metric)), frame=SMALL)
    return Plot(x, y, [_build_dot(row, path, x, y) for row in rows], frame=SMALL)


def _build_x_axis(vary: Any, values: Sequence[Any]) -> plots.PlotAxis | CategoryAxis:
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return CategoryAxis(tuple(dict.fromkeys(values)), *SMALL.along(is_x=True))
    is_log = vary.scale == "log" if isinstance(vary, SweepRange) else _has_wide_range(values)
    return plots.axis(values, _format_value, is_x=True, base=_base(is_log and min(values) > 0), frame=SMALL)


def _has_wide_range(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) / min(values) > LOG_RATIO


def _base(is_log: bool) -> int | None:
    return 10 if is_log else None


def _format_value(value: float) -> str:
    return f"{value:.3g}"


def _build_dot(row: RankedRun, path: str, x: plots.PlotAxis | CategoryAxis, y: plots.PlotAxis) -> Dot:
    assert row.run is not None and row.value is not None
    tone = f"is-{JOB_BADGES[row.state].tone}" + (" is-best" if row.position == 1 else "")
    title = f"#{row.number}, {row.state}: {path} {row.values[path]}, {row.value:.4g}"
    return Dot(x.at(row.values[path]), y.at(row.value), title, tone, reverse("run", args=[row.run.id]))
