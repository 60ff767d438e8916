"""`manage.py export`: write runs and their data to files in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs import exports
from jobs.models import Run


class Command(BaseCommand):
    help = "Write runs, params, tags, metrics and all points into a folder: runs.csv, ..., points/<run>.csv."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument("--format", dest="form", choices=exports.FORMATS, default="csv")
        parser.add_argument("--team", help="only the runs of this team (its slug)")
        parser.add_argument("--project", help="only the runs of projects of this name")
        parser.add_argument("--run", action="append", dest="runs", help="only this run; may be repeated")

    def handle(self, *, folder: Path, form: exports.Format, **options: Any) -> None:
        wanted = {
            "team__slug": options["team"],
            "project__name": options["project"],
            "id__in": options["runs"],
        }
        runs = Run.objects.filter(deletion=None, **{name: value for name, value in wanted.items() if value})
        ids = list(runs.order_by("created_at", "id").values_list("id", flat=True))
        if not ids:
            raise CommandError("No run matches; nothing was written.")
        (folder / "points").mkdir(parents=True, exist_ok=True)
        try:
            for table in exports.run_tables(runs):
                self._save(folder / f"{table.name}.{form}", table, form)
            for run_id in ids:
                self._save(folder / "points" / f"{run_id}.{form}", exports.points_table([run_id]), form)
        except exports.ParquetUnavailable as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{len(ids)} run{'s' if len(ids) > 1 else ''} in {folder}")

    def _save(self, path: Path, table: exports.ExportTable, form: exports.Format) -> None:
        """Write a file completely or not at all: no reader sees a partial file under its name."""
        part = path.with_name(path.name + ".part")
        with part.open("wb") as file:
            file.writelines(exports.write_table(table, form))
        part.replace(path)
