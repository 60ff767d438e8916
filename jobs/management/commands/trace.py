"""`manage.py trace JOB`: trace the next steps of a running job, or fetch traces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from engine.directory import TRACE_STEPS
from jobs.attempts import traces
from jobs.models import Job
from jobs.states.jobs import StateError


class Command(BaseCommand):
    help = "Trace the next steps of a running job; with --fetch, write the uploaded traces into a folder."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("job")
        parser.add_argument(
            "--steps", type=int, default=3, help=f"number of steps, at most {TRACE_STEPS} (default: 3)"
        )
        parser.add_argument(
            "--rank", type=int, action="append", help="rank to trace; may be repeated (default: 0)"
        )
        parser.add_argument("--user", default="admin", help="user who acts (default: admin)")
        parser.add_argument(
            "--fetch", type=Path, metavar="FOLDER", help="request nothing; write the uploaded traces here"
        )

    def handle(
        self,
        *,
        job: str,
        steps: int,
        rank: list[int] | None,
        user: str,
        fetch: Path | None = None,
        **options: Any,
    ) -> None:
        found = Job.objects.filter(id=job).first()
        if found is None:
            raise CommandError(f"Job '{job}' does not exist.")
        if fetch is not None:
            return self._fetch(found, fetch)
        try:
            request = traces.request_trace(found, num_steps=steps, ranks=rank or [0], actor=user)
        except StateError as error:
            raise CommandError(str(error)) from None
        which = ", ".join(map(str, request.ranks))
        self.stdout.write(f"The next {request.num_steps} steps of job {job} will be traced on rank {which}.")
        return None

    def _fetch(self, job: Job, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        uploaded = [file for file in traces.list_files(job) if file.size_bytes is not None]
        for file in uploaded:
            path = folder / file.name
            path.write_bytes(b"".join(traces.read_content(file)))
            self.stdout.write(str(path))
        if not uploaded:
            raise CommandError(f"Job {job.id} has no trace yet.")
