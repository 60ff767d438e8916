"""Specs that a team keeps by name: saved, changed and deleted by any of its writers, with who did it."""

from __future__ import annotations

from django.db import IntegrityError, transaction

from engine.spec.spec import Problem, Spec, SpecError, flatten
from jobs.models import Team, Template, TemplateEvent
from jobs.states.jobs import StateError

NAME_LIMIT = 60
DESCRIPTION_LIMIT = 300
SHOWN_CHANGES = 12  # in one event


def save(*, team: Team, name: str, description: str, spec: Spec, actor: str) -> Template:
    """A new template. Raises SpecError where the name is empty, too long or taken."""
    name, description = _checked(name, description)
    try:
        with transaction.atomic():
            template = Template.objects.create(
                team=team, name=name, description=description, spec=spec.model_dump(),
                created_by=actor, changed_by=actor,
            )  # fmt: skip
            _tell(template, actor, f"Saved as '{name}'.")
    except IntegrityError:
        raise _taken(team, name) from None
    return template


def change(
    template: Template, *, name: str, description: str, spec: Spec, actor: str, seen: int | None = None
) -> Template:
    """`seen` is the version that the person has read. Raises StateError where somebody has changed or deleted it since,
    SpecError as `save` does."""
    name, description = _checked(name, description)
    values = spec.model_dump()
    try:
        with transaction.atomic():
            before = Template.objects.select_for_update(no_key=True).filter(id=template.id).first()
            if before is None:
                raise StateError(
                    f"Template '{template.name}' has been deleted meanwhile. Save it under a name."
                )
            if seen is not None and before.version != seen:
                raise StateError(
                    f"{before.changed_by} has changed template '{before.name}' meanwhile. Open it again to see how, or "
                    "save yours under another name."
                )
            told = _changes(before, name, description, values)
            for column, value in {"name": name, "description": description, "spec": values}.items():
                setattr(before, column, value)
            before.version, before.changed_by = before.version + 1, actor
            before.save()
            _tell(before, actor, told)
    except IntegrityError:
        raise _taken(template.team, name) from None
    return before


@transaction.atomic
def delete(template: Template, actor: str) -> None:
    """Jobs that were made from it keep their spec."""
    if not Template.objects.filter(id=template.id).exists():
        return
    TemplateEvent.objects.create(team=template.team, actor=actor, text=f"Deleted template '{template.name}'.")
    Template.objects.filter(id=template.id).delete()


def _checked(name: str, description: str) -> tuple[str, str]:
    name, description = " ".join(name.split()), description.strip()
    problems = []
    if not name:
        problems.append(Problem("template_name", "A template needs a name."))
    if len(name) > NAME_LIMIT:
        said = f"The name has {len(name)} characters; the limit is {NAME_LIMIT}."
        problems.append(Problem("template_name", said))
    if len(description) > DESCRIPTION_LIMIT:
        said = f"The description has {len(description)} characters; the limit is {DESCRIPTION_LIMIT}."
        problems.append(Problem("template_description", said))
    if problems:
        raise SpecError(problems)
    return name, description


def _taken(team: Team, name: str) -> SpecError:
    said = f"Team {team.name} has a template '{name}' already. Open that one to change it, or choose another name."
    return SpecError([Problem("template_name", said)])


def _changes(before: Template, name: str, description: str, values: dict[str, object]) -> str:
    """'model.layers: 4 → 6', one line a value."""
    was, now = flatten(before.spec), flatten(values)
    lines = [f"{path}: {was.get(path)} → {now[path]}" for path in now if was.get(path) != now[path]]
    if len(lines) > SHOWN_CHANGES:
        lines = [*lines[:SHOWN_CHANGES], f"and {len(lines) - SHOWN_CHANGES} more"]
    if name != before.name:
        lines.insert(0, f"Name: {before.name} → {name}")
    if description != before.description:
        lines.append("Description changed")
    return "\n".join(lines) or "Saved without a change."


def _tell(template: Template, actor: str, text: str) -> None:
    TemplateEvent.objects.create(template=template, team=template.team, actor=actor, text=text)
