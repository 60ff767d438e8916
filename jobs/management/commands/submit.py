"""`manage.py submit FILE.yaml|PRESET`: put a job into its pool's queue, and follow it if asked."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from engine.spec.presets import PRESETS
from engine.spec.spec import Spec, SpecError, parse, with_changes, yaml_values
from jobs.management import lines
from jobs.management.owner import team_of, template_called, user_called
from jobs.models import Job, Node, Run, Team
from jobs.queue import job_actions
from jobs.states.jobs import FINAL, JobState

POLL_S = 0.3
FIRST_NODE_LIMIT_S = 20.0  # on a first start the agent registers while the first job is being submitted
FIT_ROUNDS = 3
EXIT_REFUSED = 2


class Command(BaseCommand):
    help = "Submit a spec: a YAML file, or the name of a preset."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "spec", nargs="?", metavar="FILE.yaml|PRESET", help=f"presets: {', '.join(PRESETS)}"
        )
        parser.add_argument("--template", metavar="NAME", help="start from a template of the team instead")
        parser.add_argument("--clone", metavar="RUN", help="start from the spec of a run of the team instead")
        parser.add_argument("--pool", help="instead of the spec's pool")
        parser.add_argument("--set", dest="changes", action="append", default=[], metavar="a.b=1")
        parser.add_argument("--user", help="who submits (default: admin)")
        parser.add_argument(
            "--fit",
            action="store_true",
            help="change an impossible spec to the nearest that works, and say so",
        )
        parser.add_argument("--wait", action="store_true", help="follow the run; exit 0 only if it succeeds")
        parser.add_argument("--json", dest="as_json", action="store_true", help="one JSON object a line")

    def handle(self, *, spec: str | None, pool: str | None, changes: list[str], **options: Any) -> None:
        self.as_json: bool = options["as_json"]
        owner = user_called(options["user"])
        team = team_of(owner)
        try:
            base, made_from = _start(spec, team, options["template"], options["clone"])
            values = with_changes(base, [*changes, *([f"pool={pool}"] if pool else [])])
            self._wait_for_first_node()
            parsed = self._fitted(values, team) if options["fit"] else parse(values)
            job = job_actions.submit(spec=parsed, team=team, owner=owner, **made_from)
        except SpecError as error:
            for problem in error.problems:
                self.stderr.write(f"{problem.field}: {problem.message}" if problem.field else problem.message)
            raise SystemExit(EXIT_REFUSED) from None
        self._tell(job)
        if options["wait"] and self._follow(job) != JobState.SUCCEEDED:
            raise SystemExit(1)

    def _fitted(self, values: Mapping[str, Any], team: Team) -> Spec:
        """The spec with the proposed changes applied where it would be refused. Raises SpecError without any."""
        for _ in range(FIT_ROUNDS):
            spec = parse(values)
            try:
                job_actions.check(spec, team)
                return spec
            except SpecError as error:
                fixes = [f"{name}={value}" for p in error.problems for name, value in p.fix.items()]
                if not fixes:
                    raise
                self.stderr.write(f"Fitted to the pool: {', '.join(fixes)}")
                values = with_changes(values, fixes)
        return parse(values)

    def _wait_for_first_node(self) -> None:
        """Only while this Fourwalls has no node at all."""
        deadline = time.monotonic() + FIRST_NODE_LIMIT_S
        while not Node.objects.exists() and time.monotonic() < deadline:
            self._show("waiting for the first node to register")
            time.sleep(POLL_S)

    def _follow(self, job: Job) -> str:
        said: str = job.state
        while True:
            job = Job.objects.select_related("run").get(id=job.id)
            if job.state in FINAL:
                self._tell_end(job)
                return job.state
            if job.state != said and self.as_json:
                self._tell(job)
            said = job.state
            self._show(lines.progress(job))
            time.sleep(POLL_S)

    def _tell(self, job: Job) -> None:
        said = lines.short(job)
        self.stdout.write(
            json.dumps(said) if self.as_json else f"Job {job.id} ({job.name}) is {job.state}: {said['url']}"
        )
        self.stdout.flush()

    def _tell_end(self, job: Job) -> None:
        self._show("")
        if self.as_json:
            self.stdout.write(
                json.dumps(lines.short(job) | {"reason": job.reason, "metrics": lines.metrics(job.run)})
            )
        else:
            self.stdout.write(
                "  ".join([f"Job {job.id} {job.state}: {job.reason}", *lines.metrics_of(job.run)])
            )

    def _show(self, text: str) -> None:
        """A line that is overwritten; nothing where nobody looks."""
        if self.stderr.isatty():
            self.stderr.write(f"\r\033[K{text}", ending="")
            self.stderr.flush()


def _start(
    spec: str | None, team: Team, template: str | None, clone: str | None
) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """The values to begin with, and what the job remembers of where they come from."""
    if sum(source is not None for source in (spec, template, clone)) != 1:
        raise CommandError("Name one of: a file or preset, --template NAME, --clone RUN.")
    if template is not None:
        found = template_called(team, template)
        return found.spec, {"template": found}
    if clone is not None:
        run = Run.objects.filter(team=team, id=clone).first()
        if run is None:
            raise CommandError(f"Team {team.name} has no run '{clone}'.")
        return run.spec, {"cloned_from": run}
    assert spec is not None
    return _values(spec), {}


def _values(spec: str) -> Mapping[str, Any]:
    """The plain values of a preset or a YAML file."""
    if spec in PRESETS:
        return {"name": spec} | PRESETS[spec][1]
    path = Path(spec)
    if not path.is_file():
        raise CommandError(f"'{spec}' is neither a file nor a preset. Presets: {', '.join(PRESETS)}.")
    try:
        values = yaml_values(path.read_bytes())
    except OSError as error:
        raise CommandError(f"{spec} cannot be read: {error}.") from None
    if not isinstance(values, Mapping):
        parse(values)  # says what a spec is
    return values
