"""`manage.py pause JOB`: set a job aside, at a step border and with a checkpoint, until it is resumed."""

from __future__ import annotations

from jobs.management.wish import WishCommand
from jobs.models import Job
from jobs.queue import job_actions


class Command(WishCommand):
    help = "Pause a job: it gives its devices back, with a checkpoint, and waits for 'resume'."

    def ask(self, job: Job, actor: str) -> Job:
        return job_actions.pause(job, actor)
