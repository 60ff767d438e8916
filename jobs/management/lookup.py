"""Lookup of users, teams and templates named on the command line."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.core.management.base import CommandError

from jobs.models import Team, Template
from jobs.people import accounts


def get_user(name: str | None) -> User:
    """The active user of that name; for None admin, created if missing. Raises CommandError for an unknown name."""
    if name is None:
        return accounts.ensure_first_team_and_user()
    found = User.objects.filter(username=name, is_active=True).first()
    if found is None:
        raise CommandError(f"User '{name}' does not exist or is inactive.")
    return found


def get_team(user: User) -> Team:
    """The first team in which the user may submit. Raises CommandError."""
    team = accounts.first_writable_team(user)
    if team is None:
        raise CommandError(f"User '{user.get_username()}' may not submit in any team.")
    return team


def get_template(team: Team, name: str) -> Template:
    """The template with that name or id. Raises CommandError."""
    template = team.templates.filter(name=name).first() or team.templates.filter(id=name).first()
    if template is None:
        known = ", ".join(team.templates.values_list("name", flat=True)[:20]) or "none"
        raise CommandError(f"Team {team.name} has no template '{name}'. Known templates: {known}.")
    return template
