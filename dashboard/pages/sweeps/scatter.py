"""How a sweep's metric lies over each field that it varied: one small drawing a field."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from dashboard.charts import plots
from dashboard.charts.plots import SMALL, CategoryAxis, Dot, Plot
from dashboard.html.badges import JOB_BADGES
from engine.sweep import Range, Sweep
from jobs.sweeps.ranking import RankedRun

LOG_FROM = 50.0  # what spans more than this many times is drawn on a logarithmic axis


@dataclass(frozen=True)
class Scatter:
    path: str
    plot: Plot

    @property
    def is_log(self) -> bool:
        return self.plot.y.base is not None


def of(definition: Sweep, rows: Iterable[RankedRun]) -> list[Scatter]:
    """One picture a field; runs without a value have no dot in it."""
    shown = [row for row in rows if row.value is not None and row.run is not None]
    return [Scatter(path, _plot(definition, path, shown)) for path in definition.vary] if shown else []


def _plot(definition: Sweep, path: str, rows: list[RankedRun]) -> Plot:
    metric = [row.value for row in rows if row.value is not None]
    x = _x_axis(definition.vary[path], [row.values[path] for row in rows])
    y = plots.axis(metric, _written, is_x=False, base=_base(_spans_far(metric)), frame=SMALL)
    return Plot(x, y, [_dot(row, path, x, y) for row in rows], frame=SMALL)


def _x_axis(vary: Any, values: Sequence[Any]) -> plots.PlotAxis | CategoryAxis:
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return CategoryAxis(tuple(dict.fromkeys(values)), *SMALL.along(is_x=True))
    is_log = vary.scale == "log" if isinstance(vary, Range) else _spans_far(values)
    return plots.axis(values, _written, is_x=True, base=_base(is_log and min(values) > 0), frame=SMALL)


def _spans_far(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) / min(values) > LOG_FROM


def _base(is_log: bool) -> int | None:
    return 10 if is_log else None


def _written(value: float) -> str:
    return f"{value:.3g}"


def _dot(row: RankedRun, path: str, x: plots.PlotAxis | CategoryAxis, y: plots.PlotAxis) -> Dot:
    assert row.run is not None and row.value is not None
    tone = f"is-{JOB_BADGES[row.state].tone}" + (" is-best" if row.position == 1 else "")
    said = f"#{row.number}, {row.state}: {path} {row.values[path]}, {row.value:.4g}"
    return Dot(x.at(row.values[path]), y.at(row.value), said, tone, reverse("run", args=[row.run.id]))
