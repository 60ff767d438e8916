"""`manage.py import`: import runs of TensorBoard, W&B or MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DataError

from jobs.imports import (
    ForeignRun,
    ImportProblems,
    ImportRefused,
    ImportResult,
    format_left_out,
    import_run,
    link_parents,
    mlflow,
    tensorboard,
    wandb,
)
from jobs.imports.foreign import printable
from jobs.models import Team
from jobs.people import accounts
from jobs.tracking.external_runs import TrackingError
from jobs.tracking.params import ParamError

READERS = {"tensorboard": tensorboard.runs, "wandb": wandb.runs, "mlflow": mlflow.runs}
REFUSALS = (OSError, ParamError, TrackingError, DataError, ValueError, OverflowError, RecursionError)


class Command(BaseCommand):
    help = (
        "Import event files, offline runs, a folder mlruns/ or MLflow's SQLite file; repeats add only new points. What "
        "cannot be read is listed at the end, with exit code 1; everything else is imported."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tracker", choices=sorted(READERS))
        parser.add_argument("path", type=Path)
        parser.add_argument(
            "--project", default="", help="project for all runs (default: the tracker's project)"
        )
        parser.add_argument("--team", help="slug of the team that owns the runs (default: the user's first)")
        parser.add_argument("--user", default="admin", help="user who owns the runs (default: admin)")

    def handle(
        self, *, tracker: str, path: Path, project: str, team: str | None, user: str, **_: Any
    ) -> None:
        owner = User.objects.filter(username=user).first()
        if owner is None:
            raise CommandError(f"User '{user}' does not exist. Name one with --user.")
        into = _team_of(owner, team)
        if not path.exists():
            raise CommandError(f"{path} does not exist.")
        problems = ImportProblems()
        parents: dict[str, str] = {}
        claimed: set[str] = set()
        try:
            for foreign in READERS[tracker](path, problems):
                try:
                    result = import_run(foreign, team=into, owner=owner, project=project, claimed=claimed)
                except REFUSALS as error:
                    problems.add(f"run '{foreign.name}'", f"cannot be stored: {error}")
                    continue
                if foreign.parent_key:
                    parents[result.run.id] = foreign.parent_key
                self._print(result, foreign)
        except (ImportRefused, OSError) as error:
            problems.add(str(error), "")
        finally:
            link_parents(into, parents)
        if problems.count:
            raise CommandError(_list(problems))

    def _print(self, result: ImportResult, foreign: ForeignRun) -> None:
        status = "new" if result.is_new else "known"
        line = f"{result.run.id}  {status:<5}  {result.num_points:>9} points  {printable(result.run.name)}"
        remarks = list(foreign.notes)
        if result.left_out:
            remarks.append(f"left out: {format_left_out(result.left_out.items())}")
        if foreign.unknown_state:
            remarks.append(
                f"state unknown, stored as {foreign.state}: {printable(foreign.unknown_state).rstrip('.')}"
            )
        if foreign.is_archived:
            remarks.append("archived, because it is deleted there")
        if result.num_only_here:
            remarks.append(f"{result.num_only_here:,} points of earlier imports are not in these files")
        self.stdout.write(f"{line}  ({'; '.join(remarks)})" if remarks else line)


def _list(problems: ImportProblems) -> str:
    places = "1 thing" if problems.count == 1 else f"{problems.count:,} things"
    lines = [f"  {problem}" for problem in problems.listed]
    if more := problems.count - len(problems.listed):
        lines.append(f"  and {more:,} more")
    listed = "\n".join(lines)
    return (
        f"{places} could not be read:\n{listed}\n"
        "Everything else is imported. The same command tries these again and adds only what is new."
    )


def _team_of(owner: User, slug: str | None) -> Team:
    found = (
        Team.objects.filter(slug=slug, memberships__user=owner).first()
        if slug
        else accounts.first_writable_team(owner)
    )
    if found is None:
        membership = f"a member of team '{slug}'" if slug else "in any team"
        raise CommandError(f"{owner.get_username()} is not {membership}. Choose with --team and --user.")
    return found
