"""`manage.py cancel JOB`: stop a job at a step border, or take it out of the queue."""

from __future__ import annotations

from jobs.management.wish import WishCommand
from jobs.models import Job
from jobs.queue import job_actions


class Command(WishCommand):
    help = "Cancel a job."

    def ask(self, job: Job, actor: str) -> Job:
        return job_actions.cancel(job, actor)
