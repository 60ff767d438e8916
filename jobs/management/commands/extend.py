"""`manage.py extend JOB`: let a job that stands idle keep its devices for longer, once."""

from __future__ import annotations

from jobs.management.wish import WishCommand
from jobs.models import Job
from jobs.scheduler import idle


class Command(WishCommand):
    help = "Put off, once, the stop of a job that was warned because its devices stand idle."

    def ask(self, job: Job, actor: str) -> Job:
        return idle.extend(job, actor)
