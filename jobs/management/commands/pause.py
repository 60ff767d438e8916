"""`manage.py pause JOB`: pause a job at a step boundary, with a checkpoint."""

from __future__ import annotations

from jobs.management.job_action_command import JobActionCommand
from jobs.models import Job
from jobs.queue import job_actions


class Command(JobActionCommand):
    help = "Pause a job: it saves a checkpoint, releases its devices and waits for 'resume'."

    def act(self, job: Job, actor: str) -> Job:
        return job_actions.pause(job, actor)
