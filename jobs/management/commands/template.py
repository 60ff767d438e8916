"""`manage.py template list|save|delete`: spec templates of a team."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from engine.spec.spec import SpecError, from_yaml
from jobs.management.lookup import get_team, get_template, get_user
from jobs.models import Team
from jobs.queue import templates


class Command(BaseCommand):
    help = "List the templates of a user's first team, save a YAML file as a template, or delete one."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--user", help="user who acts (default: admin)")
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("list")
        save = verbs.add_parser("save", help="create a template, or a new version of the one with this name")
        save.add_argument("name")
        save.add_argument("file", metavar="FILE.yaml")
        save.add_argument("--description", default="")
        verbs.add_parser("delete").add_argument("name")

    def handle(self, *, verb: str, user: str | None, **options: Any) -> None:
        person = get_user(user)
        team, actor = get_team(person), person.get_username()
        if verb == "list":
            for one in team.templates.all():
                self.stdout.write(
                    f"{one.id}  {one.name:<24}  {one.changed_by:<12}  {one.description}".rstrip()
                )
        elif verb == "delete":
            templates.delete(get_template(team, options["name"]), actor)
            self.stdout.write(f"Template '{options['name']}' is deleted.")
        else:
            self._save(team, actor, options["name"], Path(options["file"]), options["description"])

    def _save(self, team: Team, actor: str, name: str, path: Path, description: str) -> None:
        try:
            spec = from_yaml(path.read_bytes())
            existing = team.templates.filter(name=name).first()
            fields: dict[str, Any] = {"name": name, "description": description, "spec": spec, "actor": actor}
            template = (
                templates.change(existing, **fields) if existing else templates.save(team=team, **fields)
            )
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error}.") from None
        except SpecError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"Template '{template.name}' is saved, version {template.version}.")
