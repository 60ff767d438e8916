"""`manage.py retry JOB`: queue a failed or cancelled job again, from its newest checkpoint."""

from __future__ import annotations

from jobs.management.wish import WishCommand
from jobs.models import Job
from jobs.queue import job_actions


class Command(WishCommand):
    help = "Retry a failed or cancelled job from its newest checkpoint."

    def ask(self, job: Job, actor: str) -> Job:
        return job_actions.retry(job, actor)
