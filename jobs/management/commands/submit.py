"""`manage.py submit FILE.yaml|PRESET`: submit a job and optionally follow it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from engine.spec.presets import PRESETS
from engine.spec.spec import Spec, SpecError, parse, with_changes, yaml_values
from jobs.management import job_output
from jobs.management.lookup import get_team, get_template, get_user
from jobs.models import Job, Node, Run, Team
from jobs.queue import job_actions
from jobs.states.jobs import FINAL, JobState

POLL_S = 0.3
FIRST_NODE_LIMIT_S = 20.0  # on a first start the agent registers while the first job is submitted
FIT_ROUNDS = 3
EXIT_REFUSED = 2


class Command(BaseCommand):
    help = "Submit a spec: a YAML file, or the name of a preset."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "spec", nargs="?", metavar="FILE.yaml|PRESET", help=f"presets: {', '.join(PRESETS)}"
        )
        parser.add_argument("--template", metavar="NAME", help="use the spec of a template of the team")
        parser.add_argument("--clone", metavar="RUN", help="use the spec of a run of the team")
        parser.add_argument("--pool", help="override the spec's pool")
        parser.add_argument("--set", dest="changes", action="append", default=[], metavar="a.b=1")
        parser.add_argument("--user", help="user who submits (default: admin)")
        parser.add_argument(
            "--fit",
            action="store_true",
            help="change an impossible spec to the nearest possible one, and print the changes",
        )
        parser.add_argument(
            "--wait", action="store_true", help="follow the run; exit with 0 only if it succeeds"
        )
        parser.add_argument("--json", dest="as_json", action="store_true", help="one JSON object a line")

    def handle(self, *, spec: str | None, pool: str | None, changes: list[str], **options: Any) -> None:
        self.as_json: bool = options["as_json"]
        owner = get_user(options["user"])
        team = get_team(owner)
        try:
            base, made_from = _base_values(spec, team, options["template"], options["clone"])
            values = with_changes(base, [*changes, *([f"pool={pool}"] if pool else [])])
            self._wait_for_first_node()
            parsed = self._fit(values, team) if options["fit"] else parse(values)
            job = job_actions.submit(spec=parsed, team=team, owner=owner, **made_from)
        except SpecError as error:
            for problem in error.problems:
                self.stderr.write(f"{problem.field}: {problem.message}" if problem.field else problem.message)
            raise SystemExit(EXIT_REFUSED) from None
        self._print_job(job)
        if options["wait"] and self._follow(job) != JobState.SUCCEEDED:
            raise SystemExit(1)

    def _fit(self, values: Mapping[str, Any], team: Team) -> Spec:
        """Apply proposed fixes until the spec is possible. Raises SpecError for a problem without a fix."""
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
        """Wait only while the database has no node at all."""
        deadline = time.monotonic() + FIRST_NODE_LIMIT_S
        while not Node.objects.exists() and time.monotonic() < deadline:
            self._show_status("waiting for the first node to register")
            time.sleep(POLL_S)

    def _follow(self, job: Job) -> str:
        printed_state: str = job.state
        while True:
            job = Job.objects.select_related("run").get(id=job.id)
            if job.state in FINAL:
                self._print_end(job)
                return job.state
            if job.state != printed_state and self.as_json:
                self._print_job(job)
            printed_state = job.state
            self._show_status(job_output.progress_line(job))
            time.sleep(POLL_S)

    def _print_job(self, job: Job) -> None:
        summary = job_output.job_summary(job)
        self.stdout.write(
            json.dumps(summary)
            if self.as_json
            else f"Job {job.id} ({job.name}) is {job.state}: {summary['url']}"
        )
        self.stdout.flush()

    def _print_end(self, job: Job) -> None:
        self._show_status("")
        if self.as_json:
            self.stdout.write(
                json.dumps(
                    job_output.job_summary(job)
                    | {"reason": job.reason, "metrics": job_output.newest_metrics(job.run)}
                )
            )
        else:
            self.stdout.write(
                "  ".join([f"Job {job.id} {job.state}: {job.reason}", *job_output.metric_texts(job.run)])
            )

    def _show_status(self, text: str) -> None:
        """Overwrite the status line, if stderr is a terminal."""
        if self.stderr.isatty():
            self.stderr.write(f"\r\033[K{text}", ending="")
            self.stderr.flush()


def _base_values(
    spec: str | None, team: Team, template: str | None, clone: str | None
) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """Initial values of the spec, and the source that the job records."""
    if sum(source is not None for source in (spec, template, clone)) != 1:
        raise CommandError("Name one of: a file or preset, --template NAME, --clone RUN.")
    if template is not None:
        found = get_template(team, template)
        return found.spec, {"template": found}
    if clone is not None:
        run = Run.objects.filter(team=team, id=clone, deletion=None).first()
        if run is None:
            raise CommandError(f"Team {team.name} has no run '{clone}'.")
        return run.spec, {"cloned_from": run}
    assert spec is not None
    return _load_values(spec), {}


def _load_values(spec: str) -> Mapping[str, Any]:
    """Plain values of a preset or a YAML file."""
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
        parse(values)  # raises SpecError with the expected form
    return values
