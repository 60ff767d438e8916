"""The compare page: chosen runs, all their metrics laid over each other, and where they differ."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from dashboard.access import get_scope
from dashboard.charts import chart_sections, run_labels, selection
from dashboard.pages.compare import bars, differences
from jobs import series
from jobs.models import Device, Run
from jobs.states.jobs import FINAL

OTHERS_SHOWN = 50
TABLE_RUNS = 8  # of so many a difference is read across; of more, down


@require_safe
def compare(request: HttpRequest) -> HttpResponse:
    choice = _choice(request)
    runs = choice.runs
    metrics = [name for name in dict.fromkeys(request.GET.getlist("metric")) if name]
    there = series.metrics_of([run.id for run in runs])
    may_grow = any(_goes_on(run) for run in runs)
    found = chart_sections.chosen(metrics) if metrics else chart_sections.sections(there, may_grow=may_grow)
    sections, num_dropped = chart_sections.cut(found)
    differ = differences.of_runs(runs)
    names = run_labels.of_runs(runs)
    context = {
        "filter": choice.text,
        "problem": choice.problem,
        "num_left_out": choice.num_left_out,
        "runs": [(run, names[run.id]) for run in runs],
        "others": _others(request, runs),
        "sections": sections,
        "num_dropped": num_dropped,
        "is_chosen": bool(metrics),
        "differences": differ,
        "reads_down": len(runs) > TABLE_RUNS,
        "names": {"runs": names, "devices": _device_names(runs), "facets": differ.facets},
        "runs_limit": selection.RUNS_LIMIT,
    }
    return render(request, "compare/page.html", context)


@require_safe
def figures(request: HttpRequest) -> HttpResponse:
    """The bars of the compare page, once somebody comes to where they stand."""
    runs = _choice(request).runs
    context = {
        "rows": bars.of_runs(runs),
        "figures": list(bars.FIGURES.values()),
        "names": run_labels.of_runs(runs),
    }
    return render(request, "compare/_figures.html", context)


def _choice(request: HttpRequest) -> selection.Choice:
    return selection.chosen(get_scope(request), request.GET.getlist("run"), request.GET.get("filter", ""))


def _others(request: HttpRequest, runs: list[Run]) -> list[Run]:
    """The newest that could be added."""
    rest = get_scope(request).seen(Run).filter(archived_at=None).exclude(id__in=[run.id for run in runs])
    return list(rest.select_related("job", "owner")[:OTHERS_SHOWN])


def _goes_on(run: Run) -> bool:
    return (run.job.state if run.job else run.state) not in FINAL


def _device_names(runs: list[Run]) -> dict[str, str]:
    jobs = [run.job_id for run in runs if run.job_id]
    return {
        device.id: str(device) for device in Device.objects.filter(leases__attempt__job__in=jobs).distinct()
    }
