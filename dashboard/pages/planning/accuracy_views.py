"""The accuracy page: predicted against measured over all runs, as drawings, as a table, and as files."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from dashboard.access import get_scope
from dashboard.pages.planning import accuracy
from dashboard.server.replies import csv_reply
from engine.planner import PLANNER_VERSION
from jobs.models import Correction
from jobs.verdicts import forecasts

RECENT = 50


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    chosen = accuracy.choice(request.GET)
    rows = accuracy.judged(get_scope(request).can_see_details, chosen)
    context = {
        "chosen": chosen,
        "groups": accuracy.GROUPS_SHOWN,
        "fields": forecasts.FIELDS,
        "devices": accuracy.devices(),
        "num_runs": accuracy.num_runs(),
        "summaries": accuracy.summaries(rows, chosen.by),
        "drawings": accuracy.drawings(rows, chosen.field),
        "recent": [accuracy.shown(row) for row in rows[:RECENT]],
        "num_rows": len(rows),
        "drawn": accuracy.DRAWN,
        "corrections": Correction.objects.filter(planner_version=PLANNER_VERSION),
        "version": PLANNER_VERSION,
    }
    is_part = request.headers.get("HX-Request")
    return render(request, "planning/_accuracy.html" if is_part else "planning/accuracy.html", context)


@require_safe
def save(request: HttpRequest) -> HttpResponse:
    """Every judged figure of the page with the same address, one a line."""
    rows = accuracy.judged(get_scope(request).can_see_details, accuracy.choice(request.GET))
    heads = list(accuracy.FIGURES)
    return csv_reply(
        "accuracy.csv", [heads, *([accuracy.to_json(row)[name] for name in heads] for row in rows)]
    )
