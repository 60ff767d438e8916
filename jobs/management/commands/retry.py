"""`manage.py retry JOB`: queue a failed or cancelled job again, from its newest checkpoint."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs import queue
from jobs.models import Job
from jobs.states import StateError


class Command(BaseCommand):
    help = "Retry a failed or cancelled job from its newest checkpoint."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("job")
        parser.add_argument("--user", default="admin", help="in whose name (default: admin)")

    def handle(self, *, job: str, user: str, **options: Any) -> None:
        found = Job.objects.filter(id=job).first()
        if found is None:
            raise CommandError(f"There is no job '{job}'.")
        try:
            now = queue.retry(found, actor=user)
        except StateError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"Job {now.id} is {now.state} again.")
