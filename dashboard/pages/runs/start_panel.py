"""Progress of a job with its likely and latest times."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from dashboard.pages.jobs import progress
from engine.data.epochs import Epochs
from engine.spec.spec import SpecError, parse
from jobs.datasets.find import find_epochs
from jobs.models import Attempt, Job, Run
from jobs.queue import start_times
from jobs.states.jobs import ATTEMPT_LIVE, JobState


def build_context(job: Job) -> dict[str, Any]:
    """Return the context of parts/progress.html, runs/_start_times.html and runs/_limit.html."""
    now, attempt = timezone.now(), None
    if job.state in (JobState.STARTING, JobState.RUNNING):
        attempt = Attempt.objects.filter(job=job, state__in=ATTEMPT_LIVE).first()
    if attempt is not None:
        attempt.job = job
    ends = start_times.get_end_times(attempt, now) if attempt else None
    warns = attempt is not None or job.state == JobState.QUEUED
    return {
        "progress": progress.build_progress(job, now, ends),
        "starts": start_times.get_start_times(job) if job.state == JobState.QUEUED else None,
        "ends": ends,
        "limit_warning": start_times.check_job_limit(job, attempt, now) if warns else None,
    }


def find_run_epochs(run: Run) -> Epochs | None:
    """How often the run reads its corpus; None for a run without a job or a known size."""
    if run.job_id is None:
        return None
    try:
        return find_epochs(parse(run.spec))
    except SpecError:
        return None
