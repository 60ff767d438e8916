"""`manage.py sweep`: submit one spec with many values, see how it stands, pause, resume or cancel it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from engine.spec.problems import SpecError
from engine.spec.spec import Spec, parse, yaml_values
from jobs.management.owner import team_of, user_called
from jobs.models import Sweep
from jobs.states.jobs import StateError
from jobs.sweeps import ranking, sweep_actions

EXIT_REFUSED = 2


class Command(BaseCommand):
    help = "Sweeps: a YAML file with 'spec' and 'sweep' (strategy, vary, count, parallel, metric, goal, eta, ...)."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--user", help="in whose name (default: admin)")
        verbs = parser.add_subparsers(dest="verb", required=True)
        submit = verbs.add_parser("submit", help="check a sweep and start it")
        submit.add_argument("file", metavar="FILE.yaml")
        submit.add_argument("--dry-run", action="store_true", help="only say which runs it has")
        submit.add_argument("--json", dest="as_json", action="store_true")
        show = verbs.add_parser("show", help="its runs, best first")
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
            raise CommandError(f"There is no sweep '{options['sweep']}'.")
        if verb == "show":
            self._show(sweep, options["as_json"])
            return
        try:
            now = sweep_actions.ACTIONS[verb](sweep, user_called(user).get_username())
        except StateError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"Sweep {now.id} is {now.state}.")

    def _submit(self, user: str | None, path: Path, is_dry: bool, as_json: bool) -> None:
        owner = user_called(user)
        team = team_of(owner)
        try:
            spec, values = _read(path)
            if is_dry:
                self._tell(sweep_actions.preview(spec=spec, values=values, team=team, owner=owner))
                return
            sweep = sweep_actions.submit(spec=spec, values=values, team=team, owner=owner)
        except SpecError as error:
            for problem in error.problems:
                self.stderr.write(f"{problem.field}: {problem.message}" if problem.field else problem.message)
            raise SystemExit(EXIT_REFUSED) from None
        said = {"id": sweep.id, "runs": len(sweep.points) - len(sweep.refused), "refused": sweep.refused}
        self.stdout.write(
            json.dumps(said) if as_json else f"Sweep {sweep.id} ({sweep.name}): {said['runs']} runs."
        )

    def _tell(self, seen: sweep_actions.Preview) -> None:
        for number, point in enumerate(seen.points, start=1):
            values = "  ".join(f"{path}={value}" for path, value in point.items())
            self.stdout.write(f"#{number:<4} {values}  {seen.refused.get(number, '')}".rstrip())
        rungs = (
            f", compared after {', '.join(map(str, seen.rungs[:-1]))} steps" if len(seen.rungs) > 1 else ""
        )
        self.stdout.write(
            f"{seen.num_runs} runs of {len(seen.points)}{rungs}; {seen.num_steps:,} steps at the most."
        )

    def _show(self, sweep: Sweep, as_json: bool) -> None:
        rows = ranking.of(sweep)
        if as_json:
            self.stdout.write(json.dumps(ranking.to_json(sweep, rows)))
            return
        self.stdout.write(f"{sweep.name} ({sweep.id}) is {sweep.state}. {sweep.reason}".rstrip())
        for row in rows:
            values = "  ".join(f"{path}={value}" for path, value in row.values.items())
            value = "-" if row.value is None else f"{row.value:.4g}"
            self.stdout.write(f"#{row.number:<4} {row.state:<10} {row.step:>8}  {value:<10}  {values}")


def _read(path: Path) -> tuple[Spec, Any]:
    """Raises SpecError, CommandError."""
    try:
        values = yaml_values(path.read_bytes())
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error}.") from None
    if not isinstance(values, Mapping) or set(values) - {"spec", "sweep"} or "sweep" not in values:
        raise CommandError(f"{path}: a sweep has two parts, 'spec' and 'sweep'.")
    return parse(values.get("spec") or {}), values["sweep"]
