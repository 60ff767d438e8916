"""`manage.py import`: import runs of TensorBoard, W&B or MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs.imports import (
    ImportRefused,
    ImportResult,
    format_left_out,
    import_run,
    link_parents,
    mlflow,
    tensorboard,
    wandb,
)
from jobs.models import Team
from jobs.people import accounts

READERS = {"tensorboard": tensorboard.runs, "wandb": wandb.runs, "mlflow": mlflow.runs}


class Command(BaseCommand):
    help = "Import event files, offline runs, a folder mlruns/ or MLflow's SQLite file; repeats add only new points."
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
        parents: dict[str, str] = {}
        try:
            for foreign in READERS[tracker](path):
                result = import_run(foreign, team=into, owner=owner, project=project)
                if foreign.parent_key:
                    parents[result.run.id] = foreign.parent_key
                self.stdout.write(_line(result))
        except ImportRefused as error:
            raise CommandError(
                f"{error} The runs above are stored; the same command continues from there."
            ) from None
        finally:
            link_parents(into, parents)


def _line(result: ImportResult) -> str:
    status = "new" if result.is_new else "known"
    line = f"{result.run.id}  {status:<5}  {result.num_points:>9} points  {result.run.name}"
    return f"{line}  (left out: {format_left_out(result.left_out.items())})" if result.left_out else line


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
