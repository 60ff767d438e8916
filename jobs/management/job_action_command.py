"""Base class of commands that act on one job."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs.models import Job
from jobs.states.jobs import StateError


class JobActionCommand(BaseCommand):
    requires_system_checks: list[str] = []

    def act(self, job: Job, actor: str) -> Job:
        """Perform the action and return the changed job. Raises StateError if the job's state does not allow it."""
        raise NotImplementedError

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("job")
        parser.add_argument("--user", default="admin", help="user who acts (default: admin)")

    def handle(self, *, job: str, user: str, **options: Any) -> None:
        found = Job.objects.filter(id=job).first()
        if found is None:
            raise CommandError(f"Job '{job}' does not exist.")
        try:
            now = self.act(found, user)
        except StateError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"Job {now.id} is {now.state}.")
