"""What the trade-offs page shows: which runs, which of their fields, and what is better in each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from dashboard.access import get_scope
from dashboard.charts import colours
from dashboard.pages.table.columns import best_of, title_of
from engine.telemetry.metrics import BY_NAME
from jobs import runs
from jobs.models import Run
from jobs.runs.matrix import differing, matrix

RUNS_LIMIT = 1000
AXES_LIMIT = 12
AXES_AT_FIRST = 4
NAME = runs.Field("param", "name")  # differs in every run, and nobody turns it
# The first of these that any run has stands along y, the next along x.
GOALS = ("validation_loss", "loss", "tokens_per_s", "step_s")
NUMBERS = ("number", "seconds", "time")


@dataclass(frozen=True)
class Shown:
    runs: list[Run]
    num_found: int
    text: str  # the filter
    problem: str  # of the filter
    fields: list[runs.Field]  # those that may be chosen
    axes: list[runs.Field]  # those that are read: x, y and colour among them
    x: runs.Field | None
    y: runs.Field | None
    colour: runs.Field | None
    refused: list[str]  # sentences about fields of the address that are none


def asked_for(request: HttpRequest) -> Shown:
    """The page that an address asks for; what it leaves open is chosen by what the runs have."""
    found = get_scope(request).seen(Run).select_related("job", "owner")
    text, problem = request.GET.get("filter", ""), ""
    if chosen := request.GET.getlist("run"):
        found = found.filter(id__in=chosen[:RUNS_LIMIT])
    try:
        found = runs.filtered(found, text, runs.Asker(found, request.user.get_username(), timezone.now()))
    except runs.FilterError as error:
        problem, found = str(error), found.none()
    refused: list[str] = []
    there = _there(found)
    x, y, colour = (_field(request.GET.get(name, ""), refused) for name in ("x", "y", "colour"))
    goals = _goals(there)
    y = y or next(iter(goals), None)
    x = x or next((field for field in goals if field != y), None)
    axes = [field for text in request.GET.getlist("axis") if (field := _field(text, refused))]
    turned = [field for field in differing(found) if field != NAME]
    axes = axes[:AXES_LIMIT] or [*turned[:AXES_AT_FIRST], *(field for field in (x, y) if field)]
    shown = list(found.order_by("-created_at", "id")[: RUNS_LIMIT + 1])
    num_found = found.count() if len(shown) > RUNS_LIMIT else len(shown)
    return Shown(shown[:RUNS_LIMIT], num_found, text, problem, there, axes, x, y, colour, refused)


def figures(shown: Shown) -> dict[str, Any]:
    """For the scripts: fields and rows of values; None where a run has none, a text where a value is no number."""
    fields = list(dict.fromkeys(field for field in (*shown.axes, shown.x, shown.y, shown.colour) if field))
    values = matrix([run.id for run in shown.runs], fields)
    rows = [
        {
            "id": run.id,
            "name": run.name,
            "url": reverse("run", args=[run.id]),
            "stroke": colours.colour_of(run),
            "values": [_plain(value) for value in values[run.id]],
        }
        for run in shown.runs
    ]
    place = {field: index for index, field in enumerate(fields)}
    return {
        "fields": [_about(field) for field in fields],
        "rows": rows,
        "axes": [place[field] for field in shown.axes],
        **{name: place.get(getattr(shown, name)) for name in ("x", "y", "colour")},
    }


def _about(field: runs.Field) -> dict[str, Any]:
    unit = BY_NAME[field.key].unit if field.kind == "metric" and field.key in BY_NAME else ""
    if field.kind == "attribute":
        unit = {"seconds": "s", "time": "time", "share": "share"}.get(runs.ATTRIBUTES[field.key].type, "")
    best = best_of(field) or "low"  # a guess where nothing is known; a person turns it round
    return {"text": str(field), "label": title_of(field), "unit": unit, "best": best}


def _there(found: QuerySet[Run]) -> list[runs.Field]:
    metrics = [runs.Field("metric", key, "last") for key, _ in runs.keys(found, "metric")]
    params = [runs.Field("param", key) for key, _ in runs.keys(found, "param")]
    tags = [runs.Field("tag", key) for key, _ in runs.keys(found, "tag")]
    named = [
        runs.Field("attribute", key)
        for key, row in runs.ATTRIBUTES.items()
        if row.type in NUMBERS or key in ("owner", "state", "project", "pool")
    ]
    return [*metrics, *params, *named, *tags]


def _goals(there: list[runs.Field]) -> list[runs.Field]:
    metrics = [field for field in there if field.kind == "metric"]
    ranked = sorted(metrics, key=lambda f: GOALS.index(f.key) if f.key in GOALS else len(GOALS))
    return [*ranked, *(field for field in there if field.kind == "param")]


def _field(text: str, refused: list[str]) -> runs.Field | None:
    if not text:
        return None
    try:
        return runs.field_from_text(text)
    except runs.FieldError as error:
        refused.append(str(error))
        return None


def _plain(value: float | str | None) -> float | str | None:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
