"""`manage.py resume JOB`: queue a paused job again, from its newest checkpoint."""

from __future__ import annotations

from jobs.management.job_action_command import JobActionCommand
from jobs.models import Job
from jobs.queue import job_actions


class Command(JobActionCommand):
    help = "Resume a paused job from its newest checkpoint."

    def act(self, job: Job, actor: str) -> Job:
        return job_actions.resume(job, actor)
