"""Projects of a team and the events of their changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from django.db import IntegrityError, transaction
from django.utils import timezone

from engine.request_limits import KEY_CHARS, NOTE_CHARS, PROJECT_NAME_CHARS, PROJECT_TAG_CHARS
from jobs.models import Project, ProjectEvent, Team


class ProjectError(ValueError):
    """A change that is refused; the message names it and the reason."""


class NameTaken(ProjectError):
    """The team has a project of this name, perhaps an archived one."""


def create(team: Team, name: str, *, actor: str, tags: Mapping[str, str] | None = None) -> Project:
    """Raises NameTaken, and ProjectError for a name or tag that no row can hold."""
    refuse_bad_name(name)
    _refuse_bad_tags(tags or {})
    try:
        with transaction.atomic():
            project = Project.objects.create(team=team, name=name, tags=dict(tags or {}))
            _record_event(project, actor, "created")
    except IntegrityError:
        raise _name_taken(team, name) from None
    return project


def get_or_create(team: Team, name: str) -> Project:
    """The team's project of this name. Raises ProjectError for one in the bin: it will be deleted with all its runs."""
    found = Project.objects.get_or_create(team=team, name=name)[0]
    if found.deletion_id is not None:
        raise ProjectError(_in_bin(name))
    return found


def _in_bin(name: str) -> str:
    return f"Project {name[:200]!r} is in the bin. Restore it on the page of projects, or take another name."


def rename(project: Project, name: str, *, actor: str) -> None:
    """Raises NameTaken, and ProjectError for a name that no row can hold."""
    refuse_bad_name(name)
    try:
        with transaction.atomic():
            moved = Project.objects.filter(id=project.id).exclude(name=name)
            if moved.update(name=name, updated_at=timezone.now()):
                _record_event(project, actor, "renamed", f"{project.name[:200]!r} -> {name[:200]!r}")
    except IntegrityError:
        raise _name_taken(project.team, name) from None
    project.name = name


def describe(project: Project, note: str, *, actor: str) -> None:
    """Raises ProjectError for a note that no row can hold."""
    if broken := NOTE_CHARS.error(len(note)):
        raise ProjectError(broken)
    if "\0" in note:
        raise ProjectError("A NUL character cannot be kept. Leave it out.")
    with transaction.atomic():
        moved = Project.objects.filter(id=project.id).exclude(note=note)
        if moved.update(note=note, updated_at=timezone.now()):
            _record_event(project, actor, "note")
    project.note = note


def archive(project: Project, *, actor: str) -> bool:
    """Hide a project; nothing is deleted. False if it was archived already."""
    return _set_archived(project, actor, "archived")


def restore(project: Project, *, actor: str) -> bool:
    """Show an archived project again. False if it was not archived."""
    return _set_archived(project, actor, "restored")


def set_tags(project: Project, tags: Mapping[str, str], *, actor: str) -> None:
    """Raises ProjectError for a tag that no row can hold."""
    _refuse_bad_tags(tags)
    _change_tags(project, actor, lambda old: old | dict(tags), ", ".join(tags))


def drop_tag(project: Project, key: str, *, actor: str) -> None:
    _change_tags(project, actor, lambda old: {k: v for k, v in old.items() if k != key}, f"without {key}")


def refuse_bad_name(name: str) -> None:
    if not name or len(name) > PROJECT_NAME_CHARS or "\0" in name:
        raise ProjectError(
            f"A project's name has 1 to {PROJECT_NAME_CHARS} characters, no NUL; this one has {len(name)}."
        )


def _refuse_bad_tags(tags: Mapping[str, str]) -> None:
    for key, value in tags.items():
        if not key or len(key) > KEY_CHARS or len(value) > PROJECT_TAG_CHARS or "\0" in key + value:
            raise ProjectError(
                f"Tag {key[:50]!r}: a name has 1 to {KEY_CHARS} characters, a value at most {PROJECT_TAG_CHARS}; "
                "neither holds a NUL character."
            )


def _set_archived(project: Project, actor: str, what: str) -> bool:
    at = timezone.now() if what == "archived" else None
    with transaction.atomic():
        others = Project.objects.filter(id=project.id, archived_at__isnull=at is not None)
        if not others.update(archived_at=at, updated_at=timezone.now()):
            return False
        _record_event(project, actor, what)
    project.archived_at = at
    return True


def _change_tags(
    project: Project, actor: str, changed: Callable[[dict[str, str]], dict[str, str]], text: str
) -> None:
    with transaction.atomic():
        current = Project.objects.select_for_update().get(id=project.id)
        new = changed(current.tags)
        if new != current.tags:
            Project.objects.filter(id=project.id).update(tags=new, updated_at=timezone.now())
            _record_event(project, actor, "tags", text[:500])
    project.tags = new


def _name_taken(team: Team, name: str) -> NameTaken:
    if Project.objects.filter(team=team, name=name, deletion__isnull=False).exists():
        return NameTaken(_in_bin(name))
    is_archived = Project.objects.filter(team=team, name=name, archived_at__isnull=False).exists()
    way_out = "It is archived: restore it, or take another name." if is_archived else "Take another name."
    return NameTaken(f"The team already has a project {name!r}. {way_out}")


def _record_event(project: Project, actor: str, what: str, text: str = "") -> None:
    ProjectEvent.objects.create(project=project, actor=actor, kind=f"project.{what}", text=text)
