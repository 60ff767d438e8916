"""What commands are told by name: in whose name they act, for which team, with which template."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.core.management.base import CommandError

from jobs.models import Team, Template
from jobs.people import accounts


def user_called(name: str | None) -> User:
    """admin where nobody is named. Raises CommandError for somebody who is not there."""
    if name is None:
        return accounts.ensure_first_team_and_user()
    found = User.objects.filter(username=name, is_active=True).first()
    if found is None:
        raise CommandError(f"There is no active user '{name}'.")
    return found


def team_of(user: User) -> Team:
    """The first team in which the person may submit. Raises CommandError."""
    team = accounts.first_writable_team(user)
    if team is None:
        raise CommandError(f"User '{user.get_username()}' is in no team that may submit.")
    return team


def template_called(team: Team, name: str) -> Template:
    """By its name or its id. Raises CommandError."""
    one = team.templates.filter(name=name).first() or team.templates.filter(id=name).first()
    if one is None:
        known = ", ".join(team.templates.values_list("name", flat=True)[:20]) or "none"
        raise CommandError(f"Team {team.name} has no template '{name}'. Known: {known}.")
    return one
