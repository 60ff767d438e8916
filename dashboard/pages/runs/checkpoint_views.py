"""Views of a run's checkpoints: download, and resuming in another layout."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from dashboard.access import get_scope
from dashboard.files.checkpoints import download_checkpoint
from dashboard.html.responses import answer
from dashboard.pages.submit import spec_fields
from engine.spec.spec import SpecError, nested
from jobs.attempts import checkpoint_files, checkpoints
from jobs.models import Job, Run
from jobs.queue import job_actions, relayout, restart
from jobs.states.jobs import JobState, StateError


@require_safe
def files(request: HttpRequest, run_id: str, step: int, form: str) -> HttpResponseBase:
    """Download a checkpoint as a tar: as it is, or exported for Hugging Face."""
    run = get_scope(request).get(Run, run_id)
    row = checkpoints.at_step(run, step)
    if row is None or form not in checkpoint_files.FORMS:
        raise Http404
    try:
        return download_checkpoint(row, form)
    except checkpoint_files.FilesUnavailable as error:
        return answer(request, str(error), reverse("run", args=[run.id]), is_refused=True)


@require_POST
def layout(request: HttpRequest, run_id: str) -> HttpResponse:
    """Change the layout of a paused or ended job and resume it from its newest checkpoint."""
    run = get_scope(request).get(Run, run_id)
    if run.job is None:
        raise Http404
    job, page = get_scope(request).get_writable(Job, run.job.id), reverse("run", args=[run.id])
    posted, actor = request.POST, request.user.get_username()
    values = {
        path: spec_fields.FIELDS[path].value_of(posted[path])
        for path in relayout.LAYOUT_FIELDS
        if path in posted
    }
    try:
        job = relayout.change_layout(job, nested(values), actor)
        job = (job_actions.resume if job.state == JobState.PAUSED else job_actions.retry)(job, actor)
    except (SpecError, StateError) as error:
        message = error.problems[0].message if isinstance(error, SpecError) else str(error)
        return answer(request, message, page, is_refused=True)
    return answer(request, f"{job.name} waits in the queue again, for {job.num_devices} devices.", page)


@require_POST
def start_again(request: HttpRequest, run_id: str, step: int) -> HttpResponse:
    """Start the job from an earlier checkpoint, or from step 0; later checkpoints are given up."""
    run = get_scope(request).get(Run, run_id)
    if run.job is None:
        raise Http404
    job, page = get_scope(request).get_writable(Job, run.job.id), reverse("run", args=[run.id])
    try:
        restart.restart(job, request.user.get_username(), step)
    except StateError as error:
        return answer(request, str(error), page, is_refused=True)
    return answer(request, f"{job.name} starts from step {step}.", page)
