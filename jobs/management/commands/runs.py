"""`manage.py runs`: list the newest runs, or those that match a filter."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from jobs import runs
from jobs.management import job_output
from jobs.models import Attempt, Run


class Command(BaseCommand):
    help = "List runs, newest first."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", dest="as_json", action="store_true", help="one JSON object a line")
        parser.add_argument("--limit", type=int, default=100)
        parser.add_argument("--filter", default="", help="for example 'loss < 2.1 and tag:baseline'")
        parser.add_argument(
            "--sort", default="", help="for example loss, or --sort=-loss for the greatest first"
        )

    def handle(self, *, as_json: bool, limit: int, filter: str, sort: str, **options: Any) -> None:
        found = _find_runs(filter, sort, limit)
        newest = {a.job_id: a for a in Attempt.objects.filter(job__run__in=found).order_by("number")}
        for run in found:
            if as_json:
                details = (
                    job_output.job_details(run.job, newest.get(run.job.id))
                    if run.job
                    else job_output.run_summary(run)
                )
                self.stdout.write(json.dumps(details))
            else:
                label, owner = run.job_id or run.id, run.owner.get_username()
                self.stdout.write(f"{label}  {run.name[:24]:<24}  {owner:<12}  {_status_text(run)}")
        if not found and self.stdout.isatty():
            self.stdout.write(
                "No run matches." if filter else "No runs yet. Start one: manage.py submit demo"
            )


def _find_runs(text: str, sort: str, limit: int) -> list[Run]:
    asker = runs.Asker(
        Run.objects.filter(deletion=None).select_related("job__pool", "job__run", "owner"), "", timezone.now()
    )
    try:
        field, is_descending = runs.order_from_text(sort, asker)
        filtered = runs.filtered(asker.runs, text, asker)
    except runs.FilterError as error:
        raise CommandError(
            f"{error}\n  {text}\n  {' ' * error.start}{'^' * (error.end - error.start)}"
        ) from error
    except runs.FieldError as error:
        raise CommandError(str(error)) from error
    return list(runs.ordered(filtered, field, is_descending=is_descending)[:limit])


def _status_text(run: Run) -> str:
    if run.job is None:
        return "  ".join([run.state, *job_output.metric_texts(run)])
    return f"{job_output.progress_line(run.job)}  {run.job.reason}".rstrip()
