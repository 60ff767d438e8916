"""Views of the run page and of its refreshed parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from dashboard.access import get_scope
from dashboard.charts import panels, run_labels
from dashboard.files.downloads import FileDownload
from dashboard.html.responses import answer
from dashboard.pages.jobs import progress
from dashboard.pages.planning import accuracy
from dashboard.pages.pools import fabric
from dashboard.pages.runs import (
    about_views,
    attempts,
    comment_views,
    external,
    history,
    ledger_panel,
    start_panel,
    trace_views,
    verdict_panel,
)
from dashboard.pages.submit import origins
from dashboard.server.requests import UserRequest
from engine.spec.spec import SpecError, parse, to_yaml
from engine.telemetry.metrics import STEP_PHASES
from jobs import series
from jobs.attempts import logs
from jobs.attempts.outputs import get_output_histories
from jobs.models import Job, Run
from jobs.states.jobs import FINAL
from jobs.tracking import artefacts
from jobs.tracking.run_status import get_status

LOG_LINES = 400
PARTS = {
    "head": "runs/_head_part.html",
    "history": "runs/_history.html",
    "verdict": "runs/_verdict.html",
    "ledger": "runs/_ledger.html",
    "links": "runs/_links.html",
    "outputs": "runs/_outputs.html",
}


@require_safe
def detail(request: UserRequest, run_id: str) -> HttpResponse:
    run = get_scope(request).get(Run, run_id)
    context = (
        _build_head(request, run)
        | history.build_context(run, get_scope(request))
        | external.build_uploads(run)
    )
    recorded, origin = series.names(run.id), context["origin"]
    measured = {name.metric for name in recorded}
    is_over = run.job is not None and run.job.state in FINAL
    predicted = accuracy.format_run_forecasts(run)
    context |= {
        **(
            {"sections": panels.build_panel_states(run.missing, measured, is_over=is_over)}
            if run.job
            else external.build_sections(run, measured, request.GET)
        ),
        "sources": _list_sources(recorded),
        **comment_views.build_context(request, run),
        **trace_views.build_context(request, run),
        "outputs": get_output_histories(run) if run.job else [],
        **about_views.build_context(request, run),
        **verdict_panel.build_context(run, get_scope(request)),
        **ledger_panel.build_context(run),
        "spec_yaml": _spec_yaml(run),
        "epochs": start_panel.find_run_epochs(run),
        "differences": origins.find_differences(origin.values, run.spec) if origin else [],
        "ranks": _rank_range(run),
        "predicted": predicted,
        "was_contended": any(one["row"].is_contended for one in predicted),
        "names": _build_chart_names(run, context["placement"])
        | {"attempts": attempts.build_boundary_labels(context["attempts"])},
    }
    if fabric.is_fabric_test(run):
        context |= fabric.build_context(run) | {"sections": fabric.device_sections(context["sections"])}
    return render(request, "runs/detail.html", context)


@require_safe
def part(request: UserRequest, run_id: str, name: str) -> HttpResponse:
    """Show one part of the run page."""
    if name not in PARTS:
        raise Http404
    run = get_scope(request).get(Run, run_id)
    contexts: dict[str, Callable[[], dict[str, Any]]] = {
        "head": lambda: _build_head(request, run),
        "history": lambda: history.build_context(run, get_scope(request)) | external.build_uploads(run),
        "verdict": lambda: verdict_panel.build_context(run, get_scope(request)),
        "ledger": lambda: ledger_panel.build_context(run),
        "links": lambda: fabric.build_context(run),
        "outputs": lambda: {"outputs": get_output_histories(run)},
    }
    if name == "links" and not fabric.is_fabric_test(run):
        raise Http404
    return render(request, PARTS[name], {"run": run, "job": run.job} | contexts[name]())


@require_safe
def log(request: UserRequest, run_id: str) -> HttpResponse:
    """Show the last lines of one rank's log."""
    run = get_scope(request).get(Run, run_id)
    if run.job is None:
        raise Http404
    rank = _parse_whole(request.GET.get("rank")) or 0
    tail = logs.tail(run.job, rank, lines=LOG_LINES, attempt=_parse_whole(request.GET.get("attempt")))
    return render(
        request, "runs/_log.html", {"run": run, "job": run.job, "tail": tail, "ranks": _rank_range(run)}
    )


@require_safe
def artefact(request: UserRequest, run_id: str, artefact_id: str) -> HttpResponseBase:
    """Download one file of the run."""
    found = get_scope(request).get(Run, run_id).artefacts.filter(id=artefact_id).first()
    if found is None:
        raise Http404
    try:
        path = artefacts.find_file(found)
    except artefacts.ArtefactMissing as error:
        return answer(request, str(error), reverse("run", args=[run_id]), is_refused=True)
    return FileDownload(path, found.path.rpartition("/")[2], found.size_bytes)


def _parse_whole(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else None


def _build_head(request: UserRequest, run: Run) -> dict[str, Any]:
    job: Job | None = run.job
    newest = series.newest([run.id], (*progress.KEY_METRICS, *progress.LINK_METRICS)).get(run.id, {})
    return {
        "run": run,
        "job": job,
        "origin": origins.get_job_origin(get_scope(request), job) if job else None,
        **(start_panel.build_context(job) if job else {}),
        "figures": progress.build_key_figures(run, newest) if job else [],
        "logged_metrics": [] if job else external.get_key_metrics(run),
        "num_metrics": 0 if job else run.metrics.count(),
        "status": None if job else get_status(run, timezone.now()),
        "written": get_scope(request).written_team_ids,
    }


def _list_sources(recorded: Iterable[series.SeriesName]) -> list[tuple[str, str]]:
    """Return the ranks that reported step phases, with the titles of their options."""
    ranks = {name.source.removeprefix("rank") for name in recorded if name.metric in STEP_PHASES}
    return [(f"rank{rank}", f"rank {rank}") for rank in sorted(ranks, key=lambda rank: (len(rank), rank))]


def _spec_yaml(run: Run) -> str:
    """Return the spec as YAML; empty for a logged run without a spec of ours."""
    try:
        return to_yaml(parse(run.spec)) if run.spec else ""
    except SpecError:
        return ""


def _build_chart_names(run: Run, placement: list[history.RankPlacement]) -> dict[str, Any]:
    """Return the names of runs and devices in charts. Devices of one type are shown by their number only."""
    found = [rank.device for rank in placement if rank.device]
    is_one_type = len({device.name for device in found}) == 1
    devices = {device.id: f"#{device.index}" if is_one_type else str(device) for device in found}
    if run.job is None:
        devices = external.build_device_names(run)
    return {"runs": run_labels.label_runs([run]), "devices": devices}


def _rank_range(run: Run) -> range:
    return range(run.job.num_devices if run.job else 0)
