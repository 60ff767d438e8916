"""Checking the verdict of a run by a twin, and why the runs of a comparison differ."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from dashboard.access import get_scope
from dashboard.charts import run_labels, selection
from dashboard.html.responses import answer
from dashboard.pages.compare import breakdown
from engine.spec.spec import SpecError
from jobs import verdicts
from jobs.models import Run


@require_POST
def check(request: HttpRequest, run_id: str) -> HttpResponse:
    run = get_scope(request).get_writable(Run, run_id)
    page = f"{reverse('run', args=[run.id])}#run-verdict"
    try:
        verdicts.check_verdict(run, request.user)
    except (verdicts.CannotCheck, SpecError) as error:
        return answer(request, str(error), page, is_refused=True)
    return answer(request, "The check is in the queue: two runs of 30 steps, or one.", page)


@require_safe
def why(request: HttpRequest) -> HttpResponse:
    """The bars of steps on the compare page, and in one sentence a run why it is faster or slower than the first."""
    runs = selection.chosen(
        get_scope(request), request.GET.getlist("run"), request.GET.get("filter", "")
    ).runs
    context = {"why": breakdown.of_runs(runs), "names": run_labels.of_runs(runs)}
    return render(request, "compare/_breakdown.html", context)
