"""Texts and drawings of predicted and measured figures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from django.http import Http404
from django.urls import reverse

from dashboard.charts import plots
from dashboard.charts.plots import Dot, Plot
from dashboard.html.format import as_small_time, as_unit
from jobs.models import Forecast, Run
from jobs.verdicts import accuracy, forecasts
from jobs.verdicts.accuracy import AccuracyQuery, JudgedForecast

GROUP_TITLES = {
    "field": "field",
    "field,device": "device",
    "field,device,dtype": "number format",
    "field,planner_version": "planner version",
}
MAX_DOTS = 1500  # of one drawing; the newest are drawn


def read_query(query: Mapping[str, str]) -> AccuracyQuery:
    """Raises Http404 for an unknown field or group."""
    field, by, device = query.get("field", ""), query.get("by", "field"), query.get("device", "")
    try:
        return accuracy.build_query(field, by, device, includes_phases=query.get("phases") == "1")
    except accuracy.UnknownField as error:
        raise Http404(str(error)) from None


def format_judged(row: JudgedForecast) -> dict[str, Any]:
    """Return one row of the list of judged figures."""
    write = get_writer(row.field)
    return {
        "row": row, "field": forecasts.BY_NAME[row.field], "point": write(row.point), "measured": write(row.measured),
        "span": f"{write(row.low)} to {write(row.high)}" if row.low < row.high else "",
    }  # fmt: skip


def format_run_forecasts(run: Run) -> list[dict[str, Any]]:
    """Return the rows of predicted and measured figures on a run's page."""
    found = []
    for one in accuracy.get_run_forecasts(run):
        write = get_writer(one.field.name)
        found.append(
            {
                "field": one.field,
                "is_phase": one.is_phase,
                "row": one.row,
                "point": None if one.row.point is None else write(one.row.point),
                "span": _span(one.row, write),
                "measured": None if one.row.measured is None else write(one.row.measured),
                "error": one.error,
                "is_within": one.is_within,
            }
        )
    return found


def build_drawings(
    rows: Iterable[JudgedForecast], only: str = ""
) -> list[tuple[forecasts.ForecastField, Plot, int]]:
    """Return a drawing and the number of figures for each headline field with figures, or for the one field `only`."""
    found: defaultdict[str, list[JudgedForecast]] = defaultdict(list)
    for row in rows:
        found[row.field].append(row)
    wanted: Collection[str] = (only,) if only else accuracy.HEADLINES
    return [
        (forecasts.BY_NAME[name], _drawing(name, found[name][:MAX_DOTS]), len(found[name]))
        for name in wanted
        if found[name]
    ]


def get_writer(field: str) -> Callable[[float], str]:
    """Return the formatter of a field's figures; times below a second have a unit of their own."""
    unit = forecasts.BY_NAME[field].unit
    return lambda value: as_small_time(value) if unit == "s" and value < 1 else as_unit(value, unit)


def _drawing(field: str, rows: list[JudgedForecast]) -> Plot:
    """Draw measured along x and predicted along y, both logarithmic."""
    write = get_writer(field)
    values = [value for row in rows for value in (row.measured, row.point)]
    unit = forecasts.BY_NAME[field].unit
    options: dict[str, Any] = {"base": 2} if unit == "bytes" else {}
    if unit == "s":
        options = {"round_numbers": plots.DURATIONS}
    x, y = plots.axis(values, write, is_x=True, **options), plots.axis(values, write, is_x=False, **options)
    dots = [
        Dot(x.at(row.measured), y.at(row.point), _label(row, write), "tone-1" if row.learnt_from else "is-off",
            reverse("run", args=[row.run]) if row.run else "")
        for row in rows
    ]  # fmt: skip
    ends = (x.at(x.low), y.at(y.low), x.at(x.high), y.at(y.high))
    return Plot(x, y, dots, x_title="measured", y_title="predicted", diagonal=ends)


def _label(row: JudgedForecast, write: Callable[[float], str]) -> str:
    corrected = f"corrected by {row.learnt_from} runs" if row.learnt_from else "without a correction"
    return f"{row.name}: predicted {write(row.point)}, measured {write(row.measured)} ({row.error:+.0%}), {corrected}"


def _span(row: Forecast, write: Callable[[float], str]) -> str:
    if row.low is None or row.high is None or row.low == row.high:
        return ""
    return f"{write(row.low)} to {write(row.high)}"
