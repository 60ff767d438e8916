"""`manage.py project`: projects of a team, moving runs, and the bin."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from jobs.management.lookup import get_team, get_user
from jobs.models import Deletion, DeletionState, Project, Run, Team
from jobs.tracking import deletion, projects
from jobs.tracking.external_runs import TrackingError


class Command(BaseCommand):
    help = "List, archive or delete projects and runs, move runs, and restore what is in the bin."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--user", help="user who acts (default: admin)")
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("list").add_argument("--archived", action="store_true")
        for verb, text in VERBS.items():
            verbs.add_parser(verb, help=text).add_argument("name")
        move = verbs.add_parser("move", help="move runs to a project")
        move.add_argument("runs", nargs="+", metavar="RUN")
        move.add_argument("--to", required=True, help="name of the project; '' for none")
        verbs.add_parser("delete-runs", help="move runs to the bin").add_argument(
            "runs", nargs="+", metavar="RUN"
        )
        verbs.add_parser("bin", help="list what is in the bin")
        undelete = verbs.add_parser("undelete", help="restore what one deletion put into the bin")
        undelete.add_argument("id", type=int, help="its number in the list of the bin")

    def handle(self, *, verb: str, user: str | None, **options: Any) -> None:
        person = get_user(user)
        team, actor = get_team(person), person.get_username()
        try:
            if verb == "list":
                self._list(team, is_archived=options["archived"])
            elif verb == "bin":
                self._list_bin(team)
            elif verb == "undelete":
                self._undelete(team, options["id"], actor)
            elif verb in ("move", "delete-runs"):
                self._change_runs(team, verb, options, actor)
            else:
                self.stdout.write(_act(team, verb, options["name"], actor))
        except (projects.ProjectError, TrackingError) as error:
            raise CommandError(str(error)) from None

    def _list(self, team: Team, *, is_archived: bool) -> None:
        for row in team.projects.filter(deletion=None, archived_at__isnull=not is_archived):
            count = row.runs.filter(archived_at=None, deletion=None).count()
            self.stdout.write(f"{row.id:<6}  {row.name[:40]:<40}  {count} run{'' if count == 1 else 's'}")

    def _list_bin(self, team: Team) -> None:
        for row in team.deletions.filter(state=DeletionState.IN_BIN):
            days = max(0.0, (row.due_at - timezone.now()).total_seconds() / 86400)
            left = f"deleted for good in {days:.1f} days"
            self.stdout.write(
                f"{row.id:<6}  {row.title[:40]:<40}  {row.num_runs} runs  by {row.actor}  {left}"
            )

    def _undelete(self, team: Team, number: int, actor: str) -> None:
        found = Deletion.objects.filter(team=team, id=number).first()
        if found is None or not deletion.restore(found, actor=actor):
            raise CommandError(f"Nothing with the number {number} is in the bin of team {team.name}.")
        self.stdout.write(f"{found.title} is restored.")

    def _change_runs(self, team: Team, verb: str, options: dict[str, Any], actor: str) -> None:
        found = Run.objects.filter(team=team, deletion=None, id__in=options["runs"])
        known = set(found.values_list("id", flat=True))
        if unknown := [run for run in options["runs"] if run not in known]:
            raise CommandError(f"Team {team.name} has no run {', '.join(unknown)}.")
        if verb == "move":
            target = projects.get_or_create(team, options["to"]) if options["to"] else None
            self.stdout.write(f"{deletion.move_runs(found, target, actor=actor)} moved.")
            return
        for made in deletion.delete_runs(found, actor=actor):
            self.stdout.write(_bin_text(made))


VERBS = {
    "create": "create an empty project",
    "archive": "hide a project; nothing is deleted",
    "restore": "show an archived project again",
    "delete": "move a project with all its runs to the bin",
}


def _act(team: Team, verb: str, name: str, actor: str) -> str:
    if verb == "create":
        return f"Project {projects.create(team, name, actor=actor).name} is created."
    found = Project.objects.filter(team=team, name=name, deletion=None).first()
    if found is None:
        raise CommandError(f"Team {team.name} has no project '{name}'.")
    if verb == "delete":
        return _bin_text(deletion.delete_project(found, actor=actor))
    (projects.archive if verb == "archive" else projects.restore)(found, actor=actor)
    return f"Project {name} is {verb}d."


def _bin_text(made: Deletion) -> str:
    return (
        f"{made.title} is in the bin until {made.due_at:%Y-%m-%d %H:%M} UTC; "
        f"manage.py project undelete {made.id} restores it."
    )
