"""`manage.py cancel JOB`: cancel a queued or running job."""

from __future__ import annotations

from jobs.management.job_action_command import JobActionCommand
from jobs.models import Job
from jobs.queue import job_actions


class Command(JobActionCommand):
    help = "Cancel a job."

    def act(self, job: Job, actor: str) -> Job:
        return job_actions.cancel(job, actor)
