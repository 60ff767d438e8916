"""A run's checkpoints: files to take away, and another layout to go on in."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from dashboard.access import get_scope
from dashboard.html.responses import answer
from dashboard.pages.runs import checkpoint_files
from dashboard.pages.submit import spec_fields
from engine.spec.spec import SpecError, nested
from jobs.attempts import checkpoints
from jobs.models import Job, Run
from jobs.queue import job_actions, relayout
from jobs.states.jobs import JobState, StateError


@require_safe
def files(request: HttpRequest, run_id: str, step: int, form: str) -> HttpResponseBase:
    """One checkpoint as a tar: as it is, or as Hugging Face's folder."""
    run = get_scope(request).get(Run, run_id)
    row = checkpoints.at_step(run, step)
    if row is None or form not in checkpoint_files.FORMS:
        raise Http404
    try:
        return checkpoint_files.download(row, form)
    except checkpoint_files.NotHere as error:
        return answer(request, str(error), reverse("run", args=[run.id]), is_refused=True)


@require_POST
def layout(request: HttpRequest, run_id: str) -> HttpResponse:
    """Change how a job that stands still is laid out, and let it go on from its newest checkpoint."""
    run = get_scope(request).get(Run, run_id)
    if run.job is None:
        raise Http404
    job, page = get_scope(request).get_writable(Job, run.job.id), reverse("run", args=[run.id])
    posted, actor = request.POST, request.user.get_username()
    asked = {
        path: spec_fields.FIELDS[path].value_of(posted[path]) for path in relayout.FIELDS if path in posted
    }
    try:
        job = relayout.change(job, nested(asked), actor)
        job = (job_actions.resume if job.state == JobState.PAUSED else job_actions.retry)(job, actor)
    except (SpecError, StateError) as error:
        said = error.problems[0].message if isinstance(error, SpecError) else str(error)
        return answer(request, said, page, is_refused=True)
    return answer(request, f"{job.name} waits in the queue again, for {job.num_devices} devices.", page)
