"""Compare page: metrics of chosen runs overlaid, and their differences."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from dashboard.access import get_scope
from dashboard.charts import chart_sections, metric_search, selection
from dashboard.html.shown_rows import ShownRows, select_shown
from dashboard.pages.compare import bars, metric_table
from dashboard.server.requests import UserRequest
from jobs import series
from jobs.models import Device, Run
from jobs.runs.differences import find_differences
from jobs.states.jobs import FINAL

OTHERS_SHOWN = 50
TABLE_RUNS = 8  # the table of differences has a column per run up to this number, else a row


@require_safe
def compare(request: UserRequest) -> HttpResponse:
    selected = _selected(request)
    runs = selected.runs
    metrics = [name for name in dict.fromkeys(request.GET.getlist("metric")) if name]
    recorded = series.metrics_of([run.id for run in runs])
    may_grow = any(_is_live(run) for run in runs)
    names_found = metric_search.find_names(recorded, metric_search.read_text(request.GET))
    found = chart_sections.select_sections(metrics, names_found, may_grow=may_grow)
    sections, num_dropped = chart_sections.limit_panels(found)
    differences = find_differences(runs)
    names = selected.label_runs()
    context = {
        "filter": selected.text,
        "problem": selected.problem,
        "num_left_out": selected.num_left_out,
        "runs": [(run, names[run.id]) for run in runs],
        "others": _others(request, runs),
        "sections": sections,
        "search": metric_search.build_search(request.GET, recorded, names_found, num_dropped),
        "is_chosen": bool(metrics),
        "differences": differences,
        "reads_down": len(runs) > TABLE_RUNS,
        "names": {"runs": names, "devices": _device_names(runs), "facets": differences.facets},
        "runs_limit": selection.MAX_RUNS,
    }
    return render(request, "compare/page.html", context)


@require_safe
def metrics(request: UserRequest) -> HttpResponse:
    """Return the metrics of the runs as a table, loaded when it scrolls into view, and again when a control changes."""
    selected = _selected(request)
    query = metric_table.apply_changes(request.GET)
    names = selected.label_runs()
    context = {
        "table": metric_table.build_table(
            selected.runs, series.metrics_of([run.id for run in selected.runs]), query
        ),
        "runs": [(run, names[run.id]) for run in selected.runs],
        "names": names,
        "query": metric_table.build_selection(query),
        "titles": ("Last", "Best", "Best step", "Lowest", "Highest", "Mean"),
    }
    answer = render(request, "compare/_metrics.html", context)
    if "changed" in query:
        answer["HX-Replace-Url"] = metric_table.build_address(
            request.headers.get("HX-Current-URL", ""), query
        )
    return answer


@require_safe
def figures(request: UserRequest) -> HttpResponse:
    """Return the bars of the compare page, loaded when they scroll into view."""
    selected = _selected(request)
    context = {
        "table": bars.build_bar_table(selected.runs),
        "names": selected.label_runs(),
    }
    return render(request, "compare/_figures.html", context)


def _selected(request: UserRequest) -> selection.RunSelection:
    return selection.select_runs(
        get_scope(request), request.GET.getlist("run"), request.GET.get("filter", "")
    )


def _others(request: UserRequest, runs: list[Run]) -> ShownRows:
    """The newest other runs, offered for adding."""
    rest = get_scope(request).seen(Run).filter(archived_at=None).exclude(id__in=[run.id for run in runs])
    return select_shown(rest.select_related("job", "owner"), OTHERS_SHOWN, request.GET, "others")


def _is_live(run: Run) -> bool:
    return (run.job.state if run.job else run.state) not in FINAL


def _device_names(runs: list[Run]) -> dict[str, str]:
    jobs = [run.job_id for run in runs if run.job_id]
    return {
        device.id: str(device) for device in Device.objects.filter(leases__attempt__job__in=jobs).distinct()
    }
