"""`manage.py import`: runs of TensorBoard, W&B or MLflow, brought in; again brings only what is new."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs.imports import ImportRefused, Taken, left_out_in_words, link, mlflow, take, tensorboard, wandb
from jobs.models import Team
from jobs.people import accounts

READERS = {"tensorboard": tensorboard.runs, "wandb": wandb.runs, "mlflow": mlflow.runs}


class Command(BaseCommand):
    help = "Bring in runs of other trackers: event files, offline runs, a folder mlruns/ or MLflow's SQLite file."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tracker", choices=sorted(READERS))
        parser.add_argument("path", type=Path)
        parser.add_argument(
            "--project", default="", help="put all runs there (default: as the tracker called it)"
        )
        parser.add_argument("--team", help="slug of the team that gets them (default: the user's first)")
        parser.add_argument("--user", default="admin", help="whose runs they will be (default: admin)")

    def handle(
        self, *, tracker: str, path: Path, project: str, team: str | None, user: str, **_: Any
    ) -> None:
        owner = User.objects.filter(username=user).first()
        if owner is None:
            raise CommandError(f"There is no user '{user}'. Name one with --user.")
        into = _team_of(owner, team)
        if not path.exists():
            raise CommandError(f"{path} does not exist.")
        parents: dict[str, str] = {}
        try:
            for foreign in READERS[tracker](path):
                taken = take(foreign, team=into, owner=owner, project=project)
                if foreign.parent_key:
                    parents[taken.run.id] = foreign.parent_key
                self.stdout.write(_line(taken))
        except ImportRefused as error:
            raise CommandError(
                f"{error} What was said above is kept; the same command goes on from there."
            ) from None
        finally:
            link(into, parents)


def _line(taken: Taken) -> str:
    said = "new" if taken.is_new else "known"
    line = f"{taken.run.id}  {said:<5}  {taken.num_points:>9} points  {taken.run.name}"
    return f"{line}  (left out: {left_out_in_words(taken.left_out.items())})" if taken.left_out else line


def _team_of(owner: User, slug: str | None) -> Team:
    found = (
        Team.objects.filter(slug=slug, memberships__user=owner).first()
        if slug
        else accounts.first_writable_team(owner)
    )
    if found is None:
        what = f"a member of team '{slug}'" if slug else "in any team"
        raise CommandError(f"{owner.get_username()} is not {what}. Choose with --team and --user.")
    return found
