"""The compare page: chosen runs, the metrics laid over each other, their figures, and where their specs differ."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from dashboard import access
from dashboard.panels import Panel
from engine.spec import flatten
from engine.telemetry.metrics import BY_NAME, METRICS
from jobs import series
from jobs.models import Device, Run

RUNS_LIMIT = 20
DEFAULT_METRICS = ("loss", "validation_loss", "tokens_per_s")
SCOPES = {"run": "Of the run", "rank": "Of each rank", "device": "Of each device"}


@require_safe
def compare(request: HttpRequest) -> HttpResponse:
    wanted = list(dict.fromkeys(request.GET.getlist("run")))
    found = {
        run.id: run
        for run in access.runs_of(request.user)
        .select_related("job", "owner")
        .filter(id__in=wanted[:RUNS_LIMIT])
    }
    runs = [found[run_id] for run_id in wanted if run_id in found]
    chosen = [name for name in request.GET.getlist("metric") if name in BY_NAME] or list(DEFAULT_METRICS)
    context = {
        "runs": runs,
        "num_left_out": len(wanted) - len(runs),
        "others": access.runs_of(request.user)
        .exclude(id__in=list(found))
        .select_related("job", "owner")[:50],
        "metrics": [BY_NAME[name] for name in chosen],
        "panels": [Panel(BY_NAME[name].label, (name,)) for name in chosen],
        "scopes": [(title, [m for m in METRICS if m.scope == scope]) for scope, title in SCOPES.items()],
        "rows": _spec_rows(runs),
        "figures": _figure_rows(runs),
        "names": {"runs": _names(runs), "devices": _device_names(runs)},
        "runs_limit": RUNS_LIMIT,
    }
    return render(request, "compare/page.html", context)


def _names(runs: list[Run]) -> dict[str, str]:
    """Names of runs; those that share one get their id behind it."""
    known = [run.name for run in runs]
    return {run.id: run.name if known.count(run.name) == 1 else f"{run.name} {run.id[:4]}" for run in runs}


def _device_names(runs: list[Run]) -> dict[str, str]:
    jobs = [run.job_id for run in runs if run.job_id]
    return {
        device.id: str(device) for device in Device.objects.filter(leases__attempt__job__in=jobs).distinct()
    }


def _spec_rows(runs: list[Run]) -> dict[str, list[tuple[str, list[object]]]]:
    """Rows of the spec table: those that differ, and those that are the same in every run."""
    flat = [flatten(run.spec) for run in runs]
    paths = dict.fromkeys(path for values in flat for path in values)
    rows = [(path, [values.get(path) for values in flat]) for path in paths]
    return {
        "differ": [row for row in rows if any(value != row[1][0] for value in row[1])],
        "same": [row for row in rows if all(value == row[1][0] for value in row[1])],
    }


def _figure_rows(runs: list[Run]) -> list[tuple[str, list[object]]]:
    """(metric, newest value of each run); None is an absent value."""
    names = [metric.name for metric in METRICS if metric.scope == "run"]
    newest = series.newest([run.id for run in runs], names)
    rows = [(name, [newest.get(run.id, {}).get(name) for run in runs]) for name in names]
    return [row for row in rows if any(value is not None for value in row[1])]
