"""`manage.py sweep`: submit, show, pause, resume or cancel a sweep."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from engine.spec.problems import SpecError
from engine.spec.spec import Spec, parse, yaml_values
from jobs.management.lookup import get_team, get_user
from jobs.models import Sweep
from jobs.states.jobs import StateError
from jobs.sweeps import ranking, sweep_actions

EXIT_REFUSED = 2


class Command(BaseCommand):
    help = "Sweeps: a YAML file with 'spec' and 'sweep' (strategy, vary, count, parallel, metric, goal, eta, ...)."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--user", help="user who acts (default: admin)")
        verbs = parser.add_subparsers(dest="verb", required=True)
        submit = verbs.add_parser("submit", help="check and start a sweep")
        submit.add_argument("file", metavar="FILE.yaml")
        submit.add_argument("--dry-run", action="store_true", help="only print its runs")
        submit.add_argument("--json", dest="as_json", action="store_true")
        show = verbs.add_parser("show", help="print its runs, best first")
        show.add_argument("sweep")
        show.add_argument("--json", dest="as_json", action="store_true")
        for verb in sweep_actions.ACTIONS:
            verbs.add_parser(verb).add_argument("sweep")

    def handle(self, *, verb: str, user: str | None, **options: Any) -> None:
        if verb == "submit":
            self._submit(user, Path(options["file"]), options["dry_run"], options["as_json"])
            return
        sweep = Sweep.objects.filter(id=options["sweep"]).first()
        if sweep is None:
            raise CommandError(f"Sweep '{options['sweep']}' does not exist.")
        if verb == "show":
            self._show(sweep, options["as_json"])
            return
        try:
            now = sweep_actions.ACTIONS[verb](sweep, get_user(user).get_username())
        except StateError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"Sweep {now.id} is {now.state}.")

    def _submit(self, user: str | None, path: Path, is_dry: bool, as_json: bool) -> None:
        owner = get_user(user)
        team = get_team(owner)
        try:
            spec, values = _read(path)
            if is_dry:
                self._print_preview(sweep_actions.preview(spec=spec, values=values, team=team, owner=owner))
                return
            sweep = sweep_actions.submit(spec=spec, values=values, team=team, owner=owner)
        except SpecError as error:
            for problem in error.problems:
                self.stderr.write(f"{problem.field}: {problem.message}" if problem.field else problem.message)
            raise SystemExit(EXIT_REFUSED) from None
        summary = {"id": sweep.id, "runs": len(sweep.points) - len(sweep.refused), "refused": sweep.refused}
        self.stdout.write(
            json.dumps(summary) if as_json else f"Sweep {sweep.id} ({sweep.name}): {summary['runs']} runs."
        )

    def _print_preview(self, preview: sweep_actions.Preview) -> None:
        for number, point in enumerate(preview.points, start=1):
            values = "  ".join(f"{path}={value}" for path, value in point.items())
            self.stdout.write(f"#{number:<4} {values}  {preview.refused.get(number, '')}".rstrip())
        rungs = (
            f", compared after {', '.join(map(str, preview.rungs[:-1]))} steps"
            if len(preview.rungs) > 1
            else ""
        )
        self.stdout.write(
            f"{preview.num_runs} runs of {len(preview.points)}{rungs}; {preview.num_steps:,} steps at most."
        )

    def _show(self, sweep: Sweep, as_json: bool) -> None:
        rows = ranking.build_ranking(sweep)
        if as_json:
            self.stdout.write(json.dumps(ranking.to_json(sweep, rows)))
            return
        self.stdout.write(f"{sweep.name} ({sweep.id}) is {sweep.state}. {sweep.reason}".rstrip())
        for row in rows:
            values = "  ".join(f"{path}={value}" for path, value in row.values.items())
            value = "-" if row.value is None else f"{row.value:.4g}"
            self.stdout.write(f"#{row.number:<4} {row.state:<10} {row.step:>8}  {value:<10}  {values}")


def _read(path: Path) -> tuple[Spec, Any]:
    """Read the spec and the sweep definition. Raises SpecError, CommandError."""
    try:
        values = yaml_values(path.read_bytes())
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error}.") from None
    if not isinstance(values, Mapping) or set(values) - {"spec", "sweep"} or "sweep" not in values:
        raise CommandError(f"{path} must have exactly two sections, 'spec' and 'sweep'.")
    return parse(values.get("spec") or {}), values["sweep"]
