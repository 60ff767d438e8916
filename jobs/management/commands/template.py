"""`manage.py template list|save|delete`: specs that a team keeps by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from engine.spec.spec import SpecError, from_yaml
from jobs.management.owner import team_of, template_called, user_called
from jobs.models import Team
from jobs.queue import templates


class Command(BaseCommand):
    help = "List the templates of a person's first team, save a YAML file as one, or delete one."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--user", help="in whose name (default: admin)")
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("list")
        save = verbs.add_parser("save", help="a new template, or a new version of the one with this name")
        save.add_argument("name")
        save.add_argument("file", metavar="FILE.yaml")
        save.add_argument("--description", default="")
        verbs.add_parser("delete").add_argument("name")

    def handle(self, *, verb: str, user: str | None, **options: Any) -> None:
        person = user_called(user)
        team, actor = team_of(person), person.get_username()
        if verb == "list":
            for one in team.templates.all():
                self.stdout.write(
                    f"{one.id}  {one.name:<24}  {one.changed_by:<12}  {one.description}".rstrip()
                )
        elif verb == "delete":
            templates.delete(template_called(team, options["name"]), actor)
            self.stdout.write(f"Template '{options['name']}' is deleted.")
        else:
            self._save(team, actor, options["name"], Path(options["file"]), options["description"])

    def _save(self, team: Team, actor: str, name: str, path: Path, description: str) -> None:
        try:
            spec = from_yaml(path.read_bytes())
            known = team.templates.filter(name=name).first()
            said: dict[str, Any] = {"name": name, "description": description, "spec": spec, "actor": actor}
            kept = templates.change(known, **said) if known else templates.save(team=team, **said)
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error}.") from None
        except SpecError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"Template '{kept.name}' is saved, version {kept.version}.")
