"""Accuracy page: predicted against measured figures of all runs."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from dashboard.access import get_scope
from dashboard.pages.planning import accuracy as texts
from dashboard.server.replies import csv_reply
from engine.planner import PLANNER_VERSION
from jobs.models import Correction
from jobs.scheduler import start_promises
from jobs.verdicts import accuracy, case_counts, forecasts

RECENT = 50


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    query = texts.read_query(request.GET)
    rows = accuracy.get_judged(query, get_scope(request).can_see_details)
    context = {
        "selected": query,
        "groups": texts.GROUP_TITLES,
        "fields": forecasts.FIELDS,
        "devices": accuracy.judged_devices(),
        "num_runs": accuracy.count_judged_runs(),
        "summaries": accuracy.summarise(rows, query.by),
        "drawings": texts.build_drawings(rows, query.field),
        "recent": [texts.format_judged(row) for row in rows[:RECENT]],
        "num_rows": len(rows),
        "cases": [*case_counts.count_database_cases(rows), *case_counts.ENGINE_CASES],
        "drawn": texts.MAX_DOTS,
        "corrections": Correction.objects.filter(planner_version=PLANNER_VERSION),
        "version": PLANNER_VERSION,
        "starts": start_promises.summarise(),
    }
    is_part = request.headers.get("HX-Request")
    return render(request, "planning/_accuracy.html" if is_part else "planning/accuracy.html", context)


@require_safe
def save(request: HttpRequest) -> HttpResponse:
    """Return every judged figure of the page with the same address as CSV."""
    rows = accuracy.get_judged(texts.read_query(request.GET), get_scope(request).can_see_details)
    heads = list(accuracy.FIGURES)
    lines = ([accuracy.serialize_judged(row)[name] for name in heads] for row in rows)
    return csv_reply("accuracy.csv", [heads, *lines])
