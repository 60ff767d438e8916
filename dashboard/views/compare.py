"""The compare page: chosen runs, all their metrics laid over each other, and where they differ."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from dashboard import access, bars, chart_names, differences, topics
from jobs import runs as filters
from jobs import series
from jobs.models import Device, Run
from jobs.states import FINAL

RUNS_LIMIT = 200
OTHERS_SHOWN = 50
TABLE_RUNS = 8  # of so many a difference is read across; of more, down


@require_safe
def compare(request: HttpRequest) -> HttpResponse:
    runs, said = _chosen(request)
    metrics = [name for name in dict.fromkeys(request.GET.getlist("metric")) if name]
    there = series.metrics_of([run.id for run in runs])
    may_grow = any(_goes_on(run) for run in runs)
    found = topics.chosen(metrics) if metrics else topics.sections(there, may_grow=may_grow)
    sections, num_dropped = topics.cut(found)
    differ = differences.of_runs(runs)
    names = chart_names.of_runs(runs)
    context = said | {
        "runs": [(run, names[run.id]) for run in runs],
        "others": _others(request, runs),
        "sections": sections,
        "num_dropped": num_dropped,
        "is_chosen": bool(metrics),
        "differences": differ,
        "reads_down": len(runs) > TABLE_RUNS,
        "names": {"runs": names, "devices": _device_names(runs), "facets": differ.facets},
        "runs_limit": RUNS_LIMIT,
    }
    return render(request, "compare/page.html", context)


@require_safe
def figures(request: HttpRequest) -> HttpResponse:
    """The bars of the compare page, once somebody comes to where they stand."""
    runs, _ = _chosen(request)
    context = {
        "rows": bars.of_runs(runs),
        "figures": list(bars.FIGURES.values()),
        "names": chart_names.of_runs(runs),
    }
    return render(request, "compare/_figures.html", context)


def _chosen(request: HttpRequest) -> tuple[list[Run], dict[str, Any]]:
    """The runs that the address names, or those that its filter finds; and what is to be said of the choice."""
    mine = access.runs_of(request.user)
    text = request.GET.get("filter", "").strip()
    wanted = list(dict.fromkeys(request.GET.getlist("run")))
    said: dict[str, Any] = {"filter": text, "problem": "", "num_left_out": 0}
    rows = mine.select_related("job", "owner")
    if wanted:
        found = {run.id: run for run in rows.filter(id__in=wanted[:RUNS_LIMIT])}
        runs = [found[run_id] for run_id in wanted if run_id in found]
        return runs, said | {"num_left_out": len(wanted) - len(runs)}
    if not text:
        return [], said
    try:
        asker = filters.Asker(mine, request.user.get_username(), timezone.now())
        matching = filters.filtered(rows, text, asker).order_by("-created_at", "id")
    except filters.FilterError as error:
        return [], said | {"problem": str(error)}
    runs = list(matching[:RUNS_LIMIT])
    num_left_out = matching.count() - len(runs) if len(runs) == RUNS_LIMIT else 0
    return runs, said | {"num_left_out": num_left_out}


def _others(request: HttpRequest, runs: list[Run]) -> list[Run]:
    """The newest that could be added."""
    rest = access.runs_of(request.user).filter(archived_at=None).exclude(id__in=[run.id for run in runs])
    return list(rest.select_related("job", "owner")[:OTHERS_SHOWN])


def _goes_on(run: Run) -> bool:
    return (run.job.state if run.job else run.state) not in FINAL


def _device_names(runs: list[Run]) -> dict[str, str]:
    jobs = [run.job_id for run in runs if run.job_id]
    return {
        device.id: str(device) for device in Device.objects.filter(leases__attempt__job__in=jobs).distinct()
    }
