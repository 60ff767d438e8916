"""`manage.py extend JOB`: postpone, once, the stop of an idle job."""

from __future__ import annotations

from jobs.management.job_action_command import JobActionCommand
from jobs.models import Job
from jobs.scheduler import idle


class Command(JobActionCommand):
    help = "Postpone, once, the stop of a job that was warned because its devices are unused."

    def act(self, job: Job, actor: str) -> Job:
        return idle.extend(job, actor)
