"""Views of single steps of a run: timelines and requested profiler traces."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from dashboard.access import get_scope
from dashboard.html.responses import answer
from dashboard.pages.runs import timeline
from dashboard.server.replies import to_save
from jobs.attempts import traces
from jobs.models import Job, Run, TraceFile
from jobs.states.jobs import StateError

STEPS_OFFERED = (1, 2, 3, 5, 10)


@require_safe
def part(request: HttpRequest, run_id: str) -> HttpResponse:
    """Show the timeline of the step that `at` names, and the traces."""
    run = get_scope(request).get(Run, run_id)
    if run.job is None:
        raise Http404
    return render(request, "runs/_timeline.html", build_context(request, run))


@require_POST
def request_trace(request: HttpRequest, run_id: str) -> HttpResponse:
    """Request a profiler trace of the next steps."""
    run = get_scope(request).get_writable(Run, run_id)
    if run.job is None:
        raise Http404
    page = reverse("run", args=[run.id])
    num_steps, rank = request.POST.get("steps", ""), request.POST.get("rank", "")
    try:
        traces.request_trace(
            run.job, num_steps=int(num_steps) if num_steps.isdigit() else 0,
            ranks=_parse_ranks(run.job, rank), actor=request.user.get_username(),
        )  # fmt: skip
    except StateError as error:
        return answer(request, str(error), page, is_refused=True)
    return answer(request, f"The next steps of {run.name} are traced.", page)


@require_safe
def file(request: HttpRequest, run_id: str, file_id: int) -> HttpResponse:
    """Download a trace in Chrome's format, compressed with gzip; Perfetto opens it directly."""
    run = get_scope(request).get(Run, run_id)
    found = TraceFile.objects.filter(id=file_id, trace__attempt__job=run.job_id).first()
    if found is None or found.size_bytes is None:
        raise Http404
    return download(run, found)


def download(run: Run, found: TraceFile) -> HttpResponse:
    reply = HttpResponse(b"".join(traces.read_content(found)), content_type="application/gzip")
    reply["X-Content-Type-Options"] = "nosniff"
    return to_save(reply, f"{run.id}-{found.name}")


def build_context(request: HttpRequest, run: Run) -> dict[str, Any]:
    """Return the context of runs/_timeline.html; empty for a logged run."""
    job = run.job
    if job is None:
        return {}
    return {
        "run": run,
        "job": job,
        **timeline.build_context(run, request.GET),
        "trace_files": traces.list_files(job),
        "open_trace": traces.get_open_trace(job),
        "is_running": job.state in traces.TRACEABLE,
        "may_trace": job.state in traces.TRACEABLE and job.team_id in get_scope(request).written_team_ids,
        "trace_ranks": range(job.num_devices),
        "steps_offered": STEPS_OFFERED,
    }


def _parse_ranks(job: Job, text: str) -> list[int]:
    """Parse one rank, or 'all'."""
    if text == "all":
        return list(range(job.num_devices))
    return [int(text)] if text.isdigit() and len(text) < 6 else []
