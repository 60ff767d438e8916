"""`manage.py accounting`: device-seconds, waste and energy by month, pool, team or attempt."""

from __future__ import annotations

import csv
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs import accounting


class Command(BaseCommand):
    help = "What attempts have cost. Energy is 'not measured' where devices have no counter; it is never guessed."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--by",
            default="month,pool,team",
            help=f"some of {','.join(accounting.BY)} (default: %(default)s)",
        )
        parser.add_argument("--month", help="only this one, such as 2026-11 (UTC)")
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", dest="as_json", action="store_true", help="one JSON object a line")
        form.add_argument("--csv", dest="as_csv", action="store_true")

    def handle(self, *, by: str, month: str | None, as_json: bool, as_csv: bool, **options: Any) -> None:
        names = [name.strip() for name in by.split(",")]
        if unknown := set(names) - set(accounting.BY):
            raise CommandError(f"'{min(unknown)}' is none of {', '.join(accounting.BY)}.")
        rows = [line.to_json() for line in accounting.lines(names, month)]
        if as_csv:
            table = csv.DictWriter(self.stdout, [*names, *COLUMNS], lineterminator="\n")
            table.writeheader()
            table.writerows(rows)
            return
        for row in rows:
            self.stdout.write(json.dumps(row) if as_json else _sentence(names, row))
        if not rows and not as_json:
            self.stdout.write("No attempt has ended yet.")


COLUMNS = ("attempts", "device_s", "wasted_device_s", "energy_j", "attempts_measured")


def _sentence(names: list[str], row: dict[str, Any]) -> str:
    keys = "  ".join(str(row[name]) for name in names)
    energy = row["energy_j"]
    said = energy if isinstance(energy, str) else f"{energy / 3.6e6:.3f} kWh"
    return (
        f"{keys}  {row['attempts']} attempts  {row['device_s'] / 3600:.2f} device-hours, "
        f"{row['wasted_device_s'] / 3600:.2f} of them wasted; energy {said}"
    )
