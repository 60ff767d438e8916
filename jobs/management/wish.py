"""What the commands that ask something of one job have in common: the job, in whose name, and the answer."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs.models import Job
from jobs.states.jobs import StateError


class WishCommand(BaseCommand):
    requires_system_checks: list[str] = []

    def ask(self, job: Job, actor: str) -> Job:
        """Raises StateError when the job's state does not allow it."""
        raise NotImplementedError

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("job")
        parser.add_argument("--user", default="admin", help="in whose name (default: admin)")

    def handle(self, *, job: str, user: str, **options: Any) -> None:
        found = Job.objects.filter(id=job).first()
        if found is None:
            raise CommandError(f"There is no job '{job}'.")
        try:
            now = self.ask(found, user)
        except StateError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"Job {now.id} is {now.state}.")
