"""Runs, fields and data of the trade-offs page."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from dashboard.access import get_scope
from dashboard.charts import colours
from dashboard.pages.table.columns import get_title
from jobs import runs, series
from jobs.models import Run
from jobs.runs.directions import better_direction
from jobs.runs.fields import Field
from jobs.runs.matrix import Cell, matrix
from jobs.runs.tradeoffs import available_fields, choose_goals, field_unit, varied_parameters

MAX_RUNS = 1000
MAX_AXES = 12
DEFAULT_AXES = 4


@dataclass(frozen=True)
class TradeoffSelection:
    """Runs and fields of the page; `axes` are those of the parallel coordinates."""

    runs: list[Run]
    num_found: int
    text: str  # the filter
    problem: str  # of the filter
    fields: list[Field]
    axes: list[Field]
    x: Field | None
    y: Field | None
    colour: Field | None
    refused: list[str]  # messages about unknown fields in the address


def read_selection(request: HttpRequest) -> TradeoffSelection:
    """Read runs and fields from the address; the runs decide what it leaves out."""
    found = get_scope(request).seen(Run).select_related("job", "owner")
    text, problem = request.GET.get("filter", ""), ""
    if selected := request.GET.getlist("run"):
        found = found.filter(id__in=selected[:MAX_RUNS])
    try:
        found = runs.filtered(found, text, runs.Asker(found, request.user.get_username(), timezone.now()))
    except runs.FilterError as error:
        problem, found = str(error), found.none()
    refused: list[str] = []
    fields = available_fields(found)
    x, y, colour = (_read_field(request.GET.get(name, ""), refused) for name in ("x", "y", "colour"))
    x, y = choose_goals(fields, x, y, runs.choose_usual_metrics(found))
    axes = [field for text in request.GET.getlist("axis") if (field := _read_field(text, refused))]
    default_axes = [*varied_parameters(found)[:DEFAULT_AXES], *(field for field in (x, y) if field)]
    shown = list(found.order_by("-created_at", "id")[: MAX_RUNS + 1])
    num_found = found.count() if len(shown) > MAX_RUNS else len(shown)
    return TradeoffSelection(
        shown[:MAX_RUNS],
        num_found,
        text,
        problem,
        fields,
        axes[:MAX_AXES] or default_axes,
        x,
        y,
        colour,
        refused,
    )


def build_data(selection: TradeoffSelection) -> dict[str, Any]:
    """Fields and rows for the page's script. A run without a value has None, values that are not numbers are texts."""
    drawn = (*selection.axes, selection.x, selection.y, selection.colour)
    fields = list(dict.fromkeys(field for field in drawn if field))
    values = matrix([run.id for run in selection.runs], fields)
    rows = [
        {
            "id": run.id,
            "name": run.name,
            "url": reverse("run", args=[run.id]),
            "stroke": colours.get_colour(run),
            "values": [_json_value(value) for value in values[run.id]],
        }
        for run in selection.runs
    ]
    index = {field: number for number, field in enumerate(fields)}
    return {
        "fields": [_describe_field(field) for field in fields],
        "rows": rows,
        "axes": [index[field] for field in selection.axes],
        **{name: index.get(getattr(selection, name)) for name in ("x", "y", "colour")},
    }


def _describe_field(field: Field) -> dict[str, Any]:
    """`best` is a default where the better direction is unknown; the page lets a person change it."""
    best = better_direction(field) or "low"
    return {"text": str(field), "label": get_title(field), "unit": field_unit(field), "best": best}


def _read_field(text: str, refused: list[str]) -> Field | None:
    if not text:
        return None
    try:
        return runs.field_from_text(text)
    except runs.FieldError as error:
        refused.append(str(error))
        return None


def _json_value(value: Cell) -> Cell:
    return series.non_finite_name(value) if isinstance(value, float) and not math.isfinite(value) else value
