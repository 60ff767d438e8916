"""What a person may do, in words, and whom to ask for more."""

from __future__ import annotations

from typing import NamedTuple

from django.contrib.auth.models import User

from dashboard.access import Scope
from jobs.models import Membership
from jobs.models.people import Role

NAMED = 3  # people that a sentence names


class RoleNote(NamedTuple):
    title: str
    sentence: str


def build_note(scope: Scope) -> RoleNote | None:
    """What a viewer and a person in no team may do; None for somebody who may submit."""
    if scope.member_team_ids:
        return None
    teams = list(scope.teams().values_list("name", flat=True))
    if not teams:
        sentence = (
            "You see pools, nodes and the length of the queue. Runs, jobs and data belong to teams. "
            f"{_whom_to_ask(_list_admins(), 'add you to a team')}"
        )
        return RoleNote("You are in no team yet.", sentence)
    where = f"team {teams[0]}" if len(teams) == 1 else "your teams"
    sentence = (
        f"You may open, compare and export everything of {where}; jobs are submitted and runs changed by members. "
        f"{_whom_to_ask(_list_leads(scope), 'make you a member')}"
    )
    return RoleNote("You are a viewer.", sentence)


def _list_leads(scope: Scope) -> list[str]:
    leads = Membership.objects.filter(team__in=scope.teams(), role=Role.LEAD, user__is_active=True)
    names = leads.order_by("user__username").values_list("user__username", flat=True)
    return list(dict.fromkeys(names)) or _list_admins()


def _list_admins() -> list[str]:
    admins = User.objects.filter(is_staff=True, is_active=True).order_by("username")
    return list(admins.values_list("username", flat=True))


def _whom_to_ask(names: list[str], what: str) -> str:
    if not names:
        return f"An admin of this server can {what}."
    shown = names[:NAMED]
    text = " or ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))
    return f"Ask {text} to {what}."
