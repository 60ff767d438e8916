"""`manage.py audit verify`: check the audit log for changed entries."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs.people import audit


class Command(BaseCommand):
    help = "Check the chain of hashes of the audit log, oldest entry first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["verify"])

    def handle(self, *, action: str, **options: Any) -> None:
        found = audit.verify()
        if found.broken is not None:
            entry = found.broken
            raise CommandError(
                f"Entry {entry.id} of {entry.at:%Y-%m-%d %H:%M:%S} does not fit the one before: it, or an entry "
                f"before it, was changed or deleted. The {found.num_entries:,} entries before it are sound."
            )
        self.stdout.write(f"{found.num_entries:,} entries, none changed.")
