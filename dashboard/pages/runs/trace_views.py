"""Single steps of a run, closely: their timelines, and profiles that people ask for."""

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
    """The picture of the step that `at` names, and the traces."""
    run = get_scope(request).get(Run, run_id)
    if run.job is None:
        raise Http404
    return render(request, "runs/_timeline.html", of(request, run))


@require_POST
def ask(request: HttpRequest, run_id: str) -> HttpResponse:
    run = get_scope(request).get_writable(Run, run_id)
    if run.job is None:
        raise Http404
    page = reverse("run", args=[run.id])
    num_steps, rank = request.POST.get("steps", ""), request.POST.get("rank", "")
    try:
        traces.ask(
            run.job, num_steps=int(num_steps) if num_steps.isdigit() else 0,
            ranks=_ranks(run.job, rank), actor=request.user.get_username(),
        )  # fmt: skip
    except StateError as error:
        return answer(request, str(error), page, is_refused=True)
    return answer(request, f"The next steps of {run.name} are traced.", page)


@require_safe
def file(request: HttpRequest, run_id: str, file_id: int) -> HttpResponse:
    """A profile as Chrome's trace format, packed; Perfetto opens it as it is."""
    run = get_scope(request).get(Run, run_id)
    found = TraceFile.objects.filter(id=file_id, trace__attempt__job=run.job_id).first()
    if found is None or found.size_bytes is None:
        raise Http404
    return download(run, found)


def download(run: Run, found: TraceFile) -> HttpResponse:
    reply = HttpResponse(b"".join(traces.content_of(found)), content_type="application/gzip")
    reply["X-Content-Type-Options"] = "nosniff"
    return to_save(reply, f"{run.id}-{found.name}")


def of(request: HttpRequest, run: Run) -> dict[str, Any]:
    """What the part shows; nothing of it for a run that was logged."""
    job = run.job
    if job is None:
        return {}
    return {
        "run": run,
        "job": job,
        **timeline.of(run, request.GET),
        "trace_files": traces.files_of(job),
        "open_trace": traces.open_of(job),
        "is_running": job.state in traces.TRACED,
        "may_trace": job.state in traces.TRACED and job.team_id in get_scope(request).written_team_ids,
        "trace_ranks": range(job.num_devices),
        "steps_offered": STEPS_OFFERED,
    }


def _ranks(job: Job, said: str) -> list[int]:
    """One rank, or all of them for 'all'."""
    if said == "all":
        return list(range(job.num_devices))
    return [int(said)] if said.isdigit() and len(said) < 6 else []
