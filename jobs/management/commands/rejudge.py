"""`manage.py rejudge RUN...`: judge runs again by the current rules."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs.models import Run
from jobs.verdicts import judge_run


class Command(BaseCommand):
    help = "Judge runs again by the current rules; verdicts of older rules are kept."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", nargs="*", help="ids of runs")
        parser.add_argument("--all", action="store_true", help="every run of a job that has made a step")

    def handle(self, *, run: list[str], all: bool, **options: Any) -> None:
        if bool(run) == all:
            raise CommandError("Name runs, or say --all.")
        wanted = Run.objects.select_related("job").order_by("created_at")
        found = wanted.filter(job__step__gt=0) if all else wanted.filter(id__in=run)
        if missing := set(run) - set(found.values_list("id", flat=True)):
            raise CommandError(f"There is no run {', '.join(sorted(missing))}.")
        for one in found.iterator(chunk_size=100):
            judged = judge_run(one)
            share = f" {100 * judged.share:.0f} %" if judged.share is not None else ""
            self.stdout.write(f"{one.id}  {judged.name or 'no verdict'}{share}  {judged.severity}".rstrip())
