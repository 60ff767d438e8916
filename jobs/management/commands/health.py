"""`manage.py health`: whether a scheduler works, for a container's healthcheck."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.db.models.functions import Now

from jobs.models import ComponentHeartbeat


class Command(BaseCommand):
    help = "Exit with 0 if a scheduler has completed its loop within the limit, else with 1 and the reason."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--limit", type=int, default=60, metavar="SECONDS", help="default: 60")

    def handle(self, *, limit: int, **options: Any) -> None:
        newer_than = Now() - timedelta(seconds=limit)
        try:
            works = ComponentHeartbeat.objects.filter(component="scheduler", at__gt=newer_than).exists()
        except DatabaseError as error:
            raise CommandError(f"The database does not answer: {error}") from None
        if not works:
            raise CommandError(f"No scheduler has completed its loop within {limit} s.")
        self.stdout.write("A scheduler works.")
