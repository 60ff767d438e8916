"""`manage.py reorder JOB --before OTHER`: move a waiting job."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs.models import Job
from jobs.queue import ordering
from jobs.states.jobs import StateError


class Command(BaseCommand):
    help = "Move a waiting job before another one of the same pool, team and priority."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("job")
        parser.add_argument("--before", required=True, metavar="OTHER")
        parser.add_argument("--user", default="admin", help="user who acts (default: admin)")

    def handle(self, *, job: str, before: str, user: str, **options: Any) -> None:
        found = Job.objects.in_bulk([job, before])
        for name in (job, before):
            if name not in found:
                raise CommandError(f"Job '{name}' does not exist.")
        try:
            ordering.reorder(found[job], user, ordering.MoveTarget.BEFORE, found[before])
        except StateError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"Job {job} is now before job {before}.")
