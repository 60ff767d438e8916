"""`manage.py restart JOB --step N --yes`: start a job from an earlier step."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from jobs.management.job_action_command import JobActionCommand
from jobs.models import Job
from jobs.queue import restart


class Command(JobActionCommand):
    help = (
        "Start a job from step 0, or from an earlier checkpoint, where its newest checkpoint is lost or away."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--step", type=int, default=0, help="step of the checkpoint (default: 0, new weights)"
        )
        parser.add_argument("--yes", action="store_true", help="give up the later checkpoints")

    def handle(self, **options: Any) -> None:
        self._step, self._is_confirmed = options["step"], options["yes"]
        super().handle(**options)

    def act(self, job: Job, actor: str) -> Job:
        if not self._is_confirmed:
            raise CommandError(f"{restart.describe_loss(job, self._step)} Repeat with --yes to do it.")
        return restart.restart(job, actor, self._step)
