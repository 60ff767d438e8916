"""`manage.py calibration`: show or recompute the corrections from ended runs."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from engine.planner import PLANNER_VERSION
from jobs.models import Correction
from jobs.planning import calibration


class Command(BaseCommand):
    help = "Show measured over predicted time by device, number format and phase: median, spread, number of runs."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--recompute", action="store_true", help="recompute the corrections from all ended runs"
        )
        parser.add_argument("--json", dest="as_json", action="store_true")

    def handle(self, *, recompute: bool, as_json: bool, **options: Any) -> None:
        if recompute:
            calibration.recompute_corrections()
        columns = ("device", "dtype", "phase", "ratio", "low", "high", "n")
        rows = Correction.objects.filter(planner_version=PLANNER_VERSION).values(*columns)
        for row in rows:
            self.stdout.write(json.dumps(row) if as_json else _line(row))
        if not rows and not as_json:
            self.stdout.write("No corrections yet: no run planned by this planner version has ended.")


def _line(row: dict[str, Any]) -> str:
    span = f"{row['ratio']:.3f} ({row['low']:.3f} to {row['high']:.3f})"
    return f"{row['device']}  {row['dtype']:5} {row['phase']:16} {span}  n = {row['n']}"
