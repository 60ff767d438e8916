"""Spec templates of a team, with an event for each change."""

from __future__ import annotations

from django.db import IntegrityError, transaction

from engine.spec.spec import Problem, Spec, SpecError, flatten
from jobs.models import Team, Template, TemplateEvent
from jobs.states.jobs import StateError

NAME_LIMIT = 60
DESCRIPTION_LIMIT = 300
CHANGES_SHOWN = 12  # in one event


def save(*, team: Team, name: str, description: str, spec: Spec, actor: str) -> Template:
    """Save a new template. Raises SpecError if the name is empty, too long or taken."""
    name, description = _clean_fields(name, description)
    try:
        with transaction.atomic():
            template = Template.objects.create(
                team=team, name=name, description=description, spec=spec.model_dump(),
                created_by=actor, changed_by=actor,
            )  # fmt: skip
            _record_event(template, actor, f"Saved as '{name}'.")
    except IntegrityError:
        raise _name_taken(team, name) from None
    return template


def change(
    template: Template,
    *,
    name: str,
    description: str,
    spec: Spec,
    actor: str,
    base_version: int | None = None,
) -> Template:
    """Change a template whose version the person last read is `base_version`.

    Raises StateError if it has since been changed or deleted, and SpecError like `save`.
    """
    name, description = _clean_fields(name, description)
    values = spec.model_dump()
    try:
        with transaction.atomic():
            before = Template.objects.select_for_update(no_key=True).filter(id=template.id).first()
            if before is None:
                raise StateError(f"Template '{template.name}' has been deleted. Save it as a new template.")
            if base_version is not None and before.version != base_version:
                raise StateError(
                    f"{before.changed_by} changed template '{before.name}' while you were editing. Open it again to "
                    "see the change, or save yours under another name."
                )
            text = _describe_changes(before, name, description, values)
            for column, value in {"name": name, "description": description, "spec": values}.items():
                setattr(before, column, value)
            before.version, before.changed_by = before.version + 1, actor
            before.save()
            _record_event(before, actor, text)
    except IntegrityError:
        raise _name_taken(template.team, name) from None
    return before


@transaction.atomic
def delete(template: Template, actor: str) -> None:
    """Delete a template; jobs created from it keep their spec."""
    if not Template.objects.filter(id=template.id).exists():
        return
    TemplateEvent.objects.create(team=template.team, actor=actor, text=f"Deleted template '{template.name}'.")
    Template.objects.filter(id=template.id).delete()


def _clean_fields(name: str, description: str) -> tuple[str, str]:
    name, description = " ".join(name.split()), description.strip()
    problems = []
    if not name:
        problems.append(Problem("template_name", "A template needs a name."))
    if len(name) > NAME_LIMIT:
        message = f"The name has {len(name)} characters; the limit is {NAME_LIMIT}."
        problems.append(Problem("template_name", message))
    if len(description) > DESCRIPTION_LIMIT:
        message = f"The description has {len(description)} characters; the limit is {DESCRIPTION_LIMIT}."
        problems.append(Problem("template_description", message))
    if problems:
        raise SpecError(problems)
    return name, description


def _name_taken(team: Team, name: str) -> SpecError:
    message = (
        f"Team {team.name} already has a template '{name}'. Open it to change it, or choose another name."
    )
    return SpecError([Problem("template_name", message)])


def _describe_changes(before: Template, name: str, description: str, values: dict[str, object]) -> str:
    """'model.layers: 4 → 6', one line a value."""
    was, now = flatten(before.spec), flatten(values)
    lines = [f"{path}: {was.get(path)} → {now[path]}" for path in now if was.get(path) != now[path]]
    if len(lines) > CHANGES_SHOWN:
        lines = [*lines[:CHANGES_SHOWN], f"and {len(lines) - CHANGES_SHOWN} more"]
    if name != before.name:
        lines.insert(0, f"Name: {before.name} → {name}")
    if description != before.description:
        lines.append("Description changed")
    return "\n".join(lines) or "Saved without a change."


def _record_event(template: Template, actor: str, text: str) -> None:
    TemplateEvent.objects.create(template=template, team=template.team, actor=actor, text=text)
