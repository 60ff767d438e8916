"""`manage.py tidy`: delete the folders of old attempts on this machine."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs.attempts.retention import KEEP_ATTEMPTS, clean_up


class Command(BaseCommand):
    help = (
        "Delete the folders (logs, checkpoints) of attempts that have ended on this machine. The newest attempts of "
        "each job, the attempt with its newest checkpoint and all database rows are kept."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--keep",
            type=int,
            default=KEEP_ATTEMPTS,
            help=f"newest attempts of each job (default {KEEP_ATTEMPTS})",
        )
        parser.add_argument("--dry-run", action="store_true", help="only print what would be deleted")

    def handle(self, *, keep: int, dry_run: bool, **options: Any) -> None:
        if keep < 1:
            raise CommandError(
                "--keep must be at least 1, so that the reason why a job ended stays available."
            )
        try:
            done = clean_up(settings.NODE_DIR, keep, dry_run)
        except OSError as error:
            raise CommandError(f"The node's folder {settings.NODE_DIR} cannot be tidied: {error}.") from None
        for name, size_bytes in done.removed.items():
            self.stdout.write(f"{name}  {size_bytes / 1024**2:.1f} MiB")
        verb = "Would delete" if dry_run else "Deleted"
        self.stdout.write(
            f"{verb} {len(done.removed)} folders, {done.freed_bytes / 1024**2:.1f} MiB; {done.num_kept} are kept."
        )
