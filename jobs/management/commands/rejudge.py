"""`manage.py rejudge RUN...`: judge runs again by the current rules.

Verdicts of older rules are kept.
"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs.models import Run
from jobs.verdicts import judge_run


class Command(BaseCommand):
    help = "Judge runs again by the current rules, from stored data; verdicts of older rules are kept."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", nargs="*", help="ids of runs")
        parser.add_argument("--all", action="store_true", help="all runs of jobs that have completed a step")

    def handle(self, *, run: list[str], all: bool, **options: Any) -> None:
        if bool(run) == all:
            raise CommandError("Name runs or pass --all.")
        wanted = Run.objects.select_related("job").order_by("created_at")
        found = wanted.filter(job__step__gt=0) if all else wanted.filter(id__in=run)
        if missing := set(run) - set(found.values_list("id", flat=True)):
            raise CommandError(f"Unknown runs: {', '.join(sorted(missing))}.")
        for judged in found.iterator(chunk_size=100):
            verdict = judge_run(judged)
            share = f" {100 * verdict.share:.0f} %" if verdict.share is not None else ""
            self.stdout.write(
                f"{judged.id}  {verdict.name or 'no verdict'}{share}  {verdict.severity}".rstrip()
            )
