"""Views that check a verdict by a twin run and compare the step times of runs."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from dashboard.access import get_scope
from dashboard.charts import selection
from dashboard.html.responses import answer
from dashboard.pages.compare import breakdown
from dashboard.server.requests import UserRequest
from engine.spec.spec import SpecError
from jobs import verdicts
from jobs.models import Run


@require_POST
def check(request: UserRequest, run_id: str) -> HttpResponse:
    """Submit the runs that check the verdict."""
    run = get_scope(request).get_writable(Run, run_id)
    page = f"{reverse('run', args=[run.id])}#run-verdict"
    try:
        verdicts.check_verdict(run, request.user)
    except (verdicts.CannotCheck, SpecError) as error:
        return answer(request, str(error), page, is_refused=True)
    return answer(request, "The check is in the queue: two runs of 30 steps, or one.", page)


@require_safe
def differences(request: UserRequest) -> HttpResponse:
    """Show the parts of each run's step time, and why each run is faster or slower than the first."""
    selected = selection.select_runs(
        get_scope(request), request.GET.getlist("run"), request.GET.get("filter", "")
    )
    context = {"why": breakdown.build_breakdown(selected.runs), "names": selected.label_runs()}
    return render(request, "compare/_breakdown.html", context)
