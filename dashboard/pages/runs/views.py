"""Views of the run page: its tabs, refreshed parts, log and files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from dashboard.access import get_scope
from dashboard.files.downloads import FileDownload
from dashboard.html.responses import answer
from dashboard.pages.jobs import progress
from dashboard.pages.pools import fabric
from dashboard.pages.runs import external, history, ledger_panel, start_panel, tabs, verdict_panel
from dashboard.pages.submit import origins
from dashboard.server.requests import UserRequest
from jobs import series
from jobs.attempts.outputs import get_output_histories
from jobs.models import Job, Run
from jobs.tracking import artefacts
from jobs.tracking.run_status import get_status

PARTS = {
    "head": "runs/_head_part.html",
    "history": "runs/_history.html",
    "files-part": "runs/_files.html",
    "verdict": "runs/_verdict.html",
    "ledger": "runs/_ledger.html",
    "links": "runs/_links.html",
    "outputs": "runs/_outputs.html",
}


@require_safe
def detail(request: UserRequest, run_id: str, tab: str = "overview") -> HttpResponse:
    """Show one tab of the run page. The others are read only when they are opened."""
    run = get_scope(request).get(Run, run_id)
    current = tabs.TABS[tab]
    context = _build_head(request, run, tab) | current.build_context(request, run)
    return render(request, current.template, context | {"tabs": tabs.TABS.values(), "tab": tab})


@require_safe
def part(request: UserRequest, run_id: str, name: str) -> HttpResponse:
    """Show one part of the run page."""
    if name not in PARTS:
        raise Http404
    run = get_scope(request).get(Run, run_id)
    scope = get_scope(request)
    contexts: dict[str, Callable[[], dict[str, Any]]] = {
        "head": lambda: _build_head(request, run, request.GET.get("tab", "")),
        "history": lambda: history.build_context(run, scope) | external.build_uploads(run),
        "files-part": lambda: history.build_files(run, scope) | external.build_uploads(run),
        "verdict": lambda: verdict_panel.build_context(run, scope),
        "ledger": lambda: ledger_panel.build_context(run),
        "links": lambda: fabric.build_context(run),
        "outputs": lambda: {"outputs": get_output_histories(run)},
    }
    if name == "links" and not fabric.is_fabric_test(run):
        raise Http404
    return render(request, PARTS[name], {"run": run, "job": run.job} | contexts[name]())


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


def _build_head(request: UserRequest, run: Run, tab: str) -> dict[str, Any]:
    job: Job | None = run.job
    has_figures = tab == "overview"
    newest: dict[str, float] = {}
    if has_figures and job:
        newest = series.newest([run.id], (*progress.KEY_METRICS, *progress.LINK_METRICS)).get(run.id, {})
    return {
        "run": run,
        "tab": tab,
        "job": job,
        "origin": origins.get_job_origin(get_scope(request), job) if job else None,
        **(start_panel.build_context(job) if job else {}),
        "figures": progress.build_key_figures(run, newest) if has_figures and job else [],
        "logged_metrics": external.get_key_metrics(run) if has_figures and not job else [],
        "num_metrics": 0 if job else run.metrics.count(),
        "status": None if job else get_status(run, timezone.now()),
        "written": get_scope(request).written_team_ids,
    }
