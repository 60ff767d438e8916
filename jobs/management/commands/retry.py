"""`manage.py retry JOB`: queue a failed or cancelled job again."""

from __future__ import annotations

from jobs.management.job_action_command import JobActionCommand
from jobs.models import Job
from jobs.queue import job_actions


class Command(JobActionCommand):
    help = "Retry a failed or cancelled job from its newest checkpoint."

    def act(self, job: Job, actor: str) -> Job:
        return job_actions.retry(job, actor)
