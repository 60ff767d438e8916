"""`manage.py accounting`: device-hours, waste, energy and money by month, day, pool, team, person or attempt."""

from __future__ import annotations

import csv
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs.accounting import table, totals


class Command(BaseCommand):
    help = "What attempts have cost. Energy is 'not measured' where devices have no counter; it is never guessed."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--by",
            default="month,pool,team",
            help=f"some of {','.join(totals.BY)} (default: %(default)s)",
        )
        parser.add_argument("--month", help="only this one, such as 2026-11 (UTC)")
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", dest="as_json", action="store_true", help="one JSON object a line")
        form.add_argument("--csv", dest="as_csv", action="store_true")

    def handle(self, *, by: str, month: str | None, as_json: bool, as_csv: bool, **options: Any) -> None:
        names = [name.strip() for name in by.split(",")]
        if unknown := set(names) - set(totals.BY):
            raise CommandError(f"'{min(unknown)}' is none of {', '.join(totals.BY)}.")
        charges = totals.charges(month)
        lines = totals.lines(charges, names)
        if as_json:
            for line in lines:
                self.stdout.write(json.dumps(line.to_json()))
            return
        found = table.of(lines, names, totals.total(charges))
        if as_csv:
            csv.writer(self.stdout, lineterminator="\n").writerows([found.heads, *table.for_csv(found)])
        elif not lines:
            self.stdout.write("No attempt has ended yet.")
        else:
            self.stdout.write("\n".join(_aligned(found)))


def _aligned(found: table.Table) -> list[str]:
    rows = [found.heads, *[list(row) for row in found.rows]]
    widths = [max(len(row[index]) for row in rows) for index in range(len(found.heads))]
    left = len(found.heads) - found.num_figures
    return [
        "  ".join(
            text.ljust(width) if index < left else text.rjust(width)
            for index, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
