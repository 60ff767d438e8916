"""`manage.py runs`: the newest jobs and how they stand."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from jobs.management import lines
from jobs.models import Attempt, Job


class Command(BaseCommand):
    help = "List runs, newest first."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", dest="as_json", action="store_true", help="one JSON object a line")
        parser.add_argument("--limit", type=int, default=100)

    def handle(self, *, as_json: bool, limit: int, **options: Any) -> None:
        jobs = list(Job.objects.select_related("run", "pool", "owner").order_by("-submitted_at")[:limit])
        newest = {a.job_id: a for a in Attempt.objects.filter(job__in=jobs).order_by("number")}
        for job in jobs:
            if as_json:
                self.stdout.write(json.dumps(lines.full(job, newest.get(job.id))))
            else:
                self.stdout.write(
                    f"{job.id}  {job.name[:24]:<24}  {job.owner.get_username():<12}  {_stand(job)}"
                )
        if not jobs and self.stdout.isatty():
            self.stdout.write("No runs yet. Start one: manage.py submit demo")


def _stand(job: Job) -> str:
    return f"{lines.progress(job)}  {job.reason}".rstrip()
