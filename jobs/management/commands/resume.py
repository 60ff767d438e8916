"""`manage.py resume JOB`: let a paused job wait in the queue again; it goes on from its checkpoint."""

from __future__ import annotations

from jobs.management.wish import WishCommand
from jobs.models import Job
from jobs.queue import job_actions


class Command(WishCommand):
    help = "Resume a paused job from its newest checkpoint."

    def ask(self, job: Job, actor: str) -> Job:
        return job_actions.resume(job, actor)
