"""One run's page, and the parts of it that refresh."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from dashboard.access import get_scope
from dashboard.charts import panels, run_labels
from dashboard.files.downloads import FileDownload
from dashboard.pages.jobs import progress
from dashboard.pages.planning import accuracy
from dashboard.pages.pools import fabric
from dashboard.pages.runs import (
    about_views,
    attempts,
    comment_views,
    external,
    history,
    outputs,
    trace_views,
    verdict_panel,
)
from dashboard.pages.submit import origins
from engine.spec.spec import SpecError, parse, to_yaml
from engine.telemetry.metrics import STEP_PHASES
from jobs import series
from jobs.attempts import logs
from jobs.models import Job, Run
from jobs.states.jobs import FINAL
from jobs.tracking import artefacts

LOG_LINES = 400
PARTS = {
    "head": "runs/_head_part.html",
    "story": "runs/_history.html",
    "verdict": "runs/_verdict.html",
    "links": "runs/_links.html",
    "outputs": "runs/_outputs.html",
}


@require_safe
def detail(request: HttpRequest, run_id: str) -> HttpResponse:
    run = get_scope(request).get(Run, run_id)
    context = _head(request, run) | history.of(run, get_scope(request)) | external.brought(run)
    there, origin = series.names(run.id), context["origin"]
    measured = {name.metric for name in there}
    is_over = run.job is not None and run.job.state in FINAL
    predicted = accuracy.of_run(run)
    context |= {
        "sections": panels.readings(run.missing, measured, is_over=is_over)
        if run.job
        else external.sections(run, measured),
        "sources": _sources(there),
        **comment_views.of(request, run),
        **trace_views.of(request, run),
        "outputs": outputs.of(run) if run.job else [],
        **about_views.of(request, run),
        **verdict_panel.of(run, get_scope(request)),
        "spec_yaml": _spec_yaml(run),
        "differences": origins.differences(origin.values, run.spec) if origin else [],
        "ranks": _ranks(run),
        "predicted": predicted,
        "was_contended": any(one["row"].is_contended for one in predicted),
        "names": _names(run, context["seats"]) | {"attempts": attempts.names(context["chapters"])},
    }
    if fabric.is_test(run):
        context |= fabric.of(run) | {"sections": fabric.device_sections(context["sections"])}
    return render(request, "runs/detail.html", context)


@require_safe
def part(request: HttpRequest, run_id: str, name: str) -> HttpResponse:
    """One partial of the run page, as the page itself shows it."""
    if name not in PARTS:
        raise Http404
    run = get_scope(request).get(Run, run_id)
    contexts: dict[str, Callable[[], dict[str, Any]]] = {
        "head": lambda: _head(request, run),
        "story": lambda: history.of(run, get_scope(request)) | external.brought(run),
        "verdict": lambda: verdict_panel.of(run, get_scope(request)),
        "links": lambda: fabric.of(run),
        "outputs": lambda: {"outputs": outputs.of(run)},
    }
    if name == "links" and not fabric.is_test(run):
        raise Http404
    return render(request, PARTS[name], {"run": run, "job": run.job} | contexts[name]())


@require_safe
def log(request: HttpRequest, run_id: str) -> HttpResponse:
    """The last lines of one rank."""
    run = get_scope(request).get(Run, run_id)
    if run.job is None:
        raise Http404
    rank = _whole(request.GET.get("rank")) or 0
    tail = logs.tail(run.job, rank, lines=LOG_LINES, attempt=_whole(request.GET.get("attempt")))
    return render(request, "runs/_log.html", {"run": run, "job": run.job, "tail": tail, "ranks": _ranks(run)})


@require_safe
def artefact(request: HttpRequest, run_id: str, artefact_id: str) -> FileDownload:
    """One file of the run, as it was saved."""
    found = get_scope(request).get(Run, run_id).artefacts.filter(id=artefact_id).first()
    if found is None:
        raise Http404
    return FileDownload(artefacts.file_of(found), found.path.rpartition("/")[2], found.size_bytes)


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else None


def _head(request: HttpRequest, run: Run) -> dict[str, Any]:
    job: Job | None = run.job
    newest = series.newest([run.id], (*progress.KEY_FIGURES, *progress.OF_LINKS, "step_s")).get(run.id, {})
    return {
        "run": run,
        "job": job,
        "origin": origins.of_job(get_scope(request), job) if job else None,
        "progress": progress.progress(job, timezone.now(), newest.get("step_s")) if job else None,
        "figures": progress.key_figures(run, newest) if job else [],
        "own_figures": [] if job else external.figures(run),
        "num_metrics": 0 if job else run.metrics.count(),
        "standing": None if job else external.standing(run, timezone.now()),
        "written": get_scope(request).written_team_ids,
    }


def _sources(there: Iterable[series.SeriesName]) -> list[tuple[str, str]]:
    """The ranks that have reported the parts of a step, with what their choice is called."""
    ranks = {name.source.removeprefix("rank") for name in there if name.metric in STEP_PHASES}
    return [(f"rank{rank}", f"rank {rank}") for rank in sorted(ranks, key=lambda rank: (len(rank), rank))]


def _spec_yaml(run: Run) -> str:
    """The spec as YAML; empty for a run that was logged without one of ours."""
    try:
        return to_yaml(parse(run.spec)) if run.spec else ""
    except SpecError:
        return ""


def _names(run: Run, seats: list[history.Seat]) -> dict[str, Any]:
    """What the charts call runs and devices; of devices that are all alike only the number is worth its place."""
    found = [seat.device for seat in seats if seat.device]
    is_alike = len({device.name for device in found}) == 1
    devices = {device.id: f"#{device.index}" if is_alike else str(device) for device in found}
    return {"runs": run_labels.of_runs([run]), "devices": devices}


def _ranks(run: Run) -> range:
    return range(run.job.num_devices if run.job else 0)
