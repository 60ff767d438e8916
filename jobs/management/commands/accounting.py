"""`manage.py accounting`: cost of attempts by month, pool, team or person."""

from __future__ import annotations

import csv
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs.accounting import table, totals


class Command(BaseCommand):
    help = "Show the cost of attempts. Energy of devices without a counter is 'not measured'; it is never estimated."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--by",
            default="month,pool,team",
            help=f"some of {','.join(totals.GROUP_COLUMNS)} (default: %(default)s)",
        )
        parser.add_argument("--month", help="only this one, such as 2026-11 (UTC)")
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", dest="as_json", action="store_true", help="one JSON object a line")
        form.add_argument("--csv", dest="as_csv", action="store_true")

    def handle(self, *, by: str, month: str | None, as_json: bool, as_csv: bool, **options: Any) -> None:
        names = [name.strip() for name in by.split(",")]
        if unknown := set(names) - set(totals.GROUP_COLUMNS):
            raise CommandError(
                f"--by '{min(unknown)}' is unknown; use some of {', '.join(totals.GROUP_COLUMNS)}."
            )
        charges = totals.charges(month)
        rows = totals.usage_rows(charges, names)
        if as_json:
            for row in rows:
                self.stdout.write(json.dumps(row.to_json()))
            return
        found = table.build_table(rows, names, totals.total(charges))
        if as_csv:
            csv.writer(self.stdout, lineterminator="\n").writerows([found.headers, *table.csv_rows(found)])
        elif not rows:
            self.stdout.write("No attempt has ended yet.")
        else:
            self.stdout.write("\n".join(_aligned(found)))


def _aligned(found: table.AccountingTable) -> list[str]:
    rows = [found.headers, *[list(row) for row in found.rows]]
    widths = [max(len(row[index]) for row in rows) for index in range(len(found.headers))]
    left = len(found.headers) - found.num_value_columns
    return [
        "  ".join(
            text.ljust(width) if index < left else text.rjust(width)
            for index, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
