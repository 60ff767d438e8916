"""Roofline panels of the run page and of the compare page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from dashboard.access import get_scope
from dashboard.charts import plots, selection
from dashboard.charts import rooflines as drawings
from dashboard.server.requests import UserRequest
from jobs.models import Run
from jobs.verdicts import rooflines


@require_safe
def show(request: UserRequest, run_id: str) -> HttpResponse:
    run = get_scope(request).get(Run, run_id)
    return render(request, "runs/_roofline.html", build_context([run]))


@require_safe
def compare(request: UserRequest) -> HttpResponse:
    runs = selection.select_runs(
        get_scope(request), request.GET.getlist("run"), request.GET.get("filter", "")
    ).runs
    return render(request, "runs/_roofline.html", build_context(runs))


def build_context(runs: Sequence[Run]) -> dict[str, Any]:
    """Return the context of runs/_roofline.html."""
    found = rooflines.build_rooflines(runs)
    rows = drawings.build_rows(found)
    return {
        "roofline": drawings.build_drawing(rows),
        "narrow_roofline": drawings.build_drawing(rows, plots.NARROW),
        "roofline_rows": rows,
        "ceilings": drawings.build_ceilings(found),
        "is_overlay": len(found) > 1,
        "is_above": any(row.point.share is not None and row.point.share > 1.02 for row in rows),
        "without": [one for one in found if one.why_not],
        "notes": list(dict.fromkeys(note for one in found for note in one.notes)),
    }
