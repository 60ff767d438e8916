"""Scope of a person or token: the objects to see, open and write.

Pages, the API and MLflow's API share it. Unknown objects and objects outside the scope are both 404. Admins are
responsible for the hardware and the jobs on it: an admin's session opens and writes the rows of every team for the
models marked in RULES, while its lists show the admin's own teams. A token acts in its own team only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeVar, cast

from django.contrib.auth.models import User
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest

from jobs.models import (
    Dataset,
    Deletion,
    Job,
    Membership,
    Project,
    Report,
    Run,
    SavedModel,
    SavedView,
    Sweep,
    Team,
    Template,
)
from jobs.models.people import Role, TokenScope
from jobs.people.audit import Source

Owned = TypeVar("Owned", bound=Model)


class AccessRule(NamedTuple):
    """How rows of a model belong to a team, and when they are hidden."""

    related: tuple[str, ...]  # read together with a row
    is_open_to_admins: bool = False  # an admin's session opens and writes the rows of every team
    team: str = "team"  # the lookup of the team
    deletion: str = ""  # the lookup of what hides a row in the bin


RULES: dict[type[Model], AccessRule] = {
    Job: AccessRule(("team", "owner", "pool", "run"), True, deletion="run__deletion"),
    Run: AccessRule(("team", "owner", "job", "job__pool", "project", "parent"), True, deletion="deletion"),
    Sweep: AccessRule(("team", "owner"), True),
    SavedView: AccessRule(("team", "owner"), True),
    Report: AccessRule(("team", "owner"), True),
    Template: AccessRule(("team",)),
    Dataset: AccessRule(("team", "owner")),
    Project: AccessRule(("team",), deletion="deletion"),
    SavedModel: AccessRule(("run",), team="run__team", deletion="run__deletion"),
    Deletion: AccessRule(("team",)),
}


@dataclass(frozen=True)
class Scope:
    """The objects that a person reaches through a session, or through a token of one team."""

    user: User
    team: Team | None = None  # of the token; None for a session, which acts in all teams of its user
    token_scope: str = TokenScope.ADMIN  # of the token; a session may do everything that its user may

    @property
    def name(self) -> str:
        """The user name, as events record it."""
        return self.user.get_username()

    @property
    def is_admin(self) -> bool:
        return bool(getattr(self.user, "is_staff", False))

    @property
    def opens_every_team(self) -> bool:
        """Of the models that RULES marks."""
        return self.is_admin and self.team is None

    @property
    def token_team(self) -> Team:
        """The one team of a token. Raises Http404 for a session, which has none of its own."""
        if self.team is None:
            raise Http404
        return self.team

    def must_be_admin(self) -> str:
        """The name under which an admin acts. Raises Http404 for everybody else."""
        if not self.is_admin:
            raise Http404
        return self.name

    # Teams

    def teams(self) -> QuerySet[Team]:
        """The teams whose objects are listed, by name."""
        if self.team:
            return Team.objects.filter(id=self.team.id)
        return Team.objects.filter(memberships__user_id=self.user.pk).order_by("name")

    def known_teams(self) -> QuerySet[Team]:
        """The teams whose jobs may be named to the caller, by name."""
        return Team.objects.order_by("name") if self.opens_every_team else self.teams()

    def writable_teams(self) -> QuerySet[Team]:
        """The teams for which jobs may be submitted, by name."""
        members = Membership.objects.filter(user_id=self.user.pk).exclude(role=Role.VIEWER)
        return self.teams().filter(id__in=members.values("team_id"))

    def get_writable_team(self, slug: str | None = None) -> Team:
        """The team of this slug, by default the one that the user joined first. Raises Http404 for a viewer."""
        if self.team and slug not in (None, self.team.slug):
            raise Http404
        slug = self.team.slug if self.team else slug
        members = Membership.objects.filter(user_id=self.user.pk).exclude(role=Role.VIEWER)
        if slug:
            members = members.filter(team__slug=slug)
        membership = members.select_related("team").order_by("id").first()
        if membership is None:
            raise Http404
        return membership.team

    @cached_property
    def can_see_details(self) -> Callable[[int], bool]:
        """Whether a job may be named to the caller, by the id of its team."""
        if self.team:
            return {self.team.id}.__contains__
        return set(self.known_teams().values_list("id", flat=True)).__contains__

    @cached_property
    def member_team_ids(self) -> frozenset[int]:
        """The teams in which the caller is more than a viewer."""
        return frozenset(self.writable_teams().values_list("id", flat=True))

    @cached_property
    def written_team_ids(self) -> frozenset[int]:
        """The teams whose jobs and runs the caller may change."""
        if self.opens_every_team:
            return frozenset(Team.objects.values_list("id", flat=True))
        return self.member_team_ids

    # Objects

    def seen(self, model: type[Owned]) -> QuerySet[Owned]:
        """The rows that are listed."""
        team = RULES[model].team
        rows = _outside_bin(model)
        if self.team:
            return rows.filter(**{team: self.team})
        return rows.filter(**{f"{team}__memberships__user_id": self.user.pk})

    def listed(self, model: type[Owned]) -> QuerySet[Owned]:
        """The listed rows with their related rows."""
        return self.seen(model).select_related(*RULES[model].related)

    def opened(self, model: type[Owned]) -> QuerySet[Owned]:
        """The rows that can be opened by id, with their related rows."""
        rule = RULES[model]
        if self.opens_every_team and rule.is_open_to_admins:
            return _outside_bin(model).select_related(*rule.related)
        return self.listed(model)

    def writable(self, model: type[Owned]) -> QuerySet[Owned]:
        """The listed rows that the caller may change."""
        ids = self.written_team_ids if RULES[model].is_open_to_admins else self.member_team_ids
        return self.seen(model).filter(**{f"{RULES[model].team}__in": ids})

    def can_write(self, row: Model) -> bool:
        """Whether the caller may change a row that it can open."""
        rule = RULES[type(row)]
        if self.opens_every_team and rule.is_open_to_admins:
            return True
        *path, _ = rule.team.split("__")
        for name in path:
            row = getattr(row, name)
        return row.team_id in self.member_team_ids  # type: ignore[attr-defined]

    def find(self, model: type[Owned], row_id: str | int) -> Owned | None:
        """The row of this id; a run also by the id that its client chose."""
        rows = self.opened(model)
        found = rows.filter(id=row_id).first()
        if found is None and model is Run and row_id:
            found = rows.filter(external_id=row_id).first()
        return found

    def get(self, model: type[Owned], row_id: str | int) -> Owned:
        """Raises Http404."""
        found = self.find(model, row_id)
        if found is None:
            raise Http404
        return found

    def get_writable(self, model: type[Owned], row_id: str | int) -> Owned:
        """Raises Http404 for an unknown row, and for one that the caller may not change."""
        found = self.get(model, row_id)
        if not self.can_write(found):
            raise Http404
        return found


def get_source(request: HttpRequest) -> Source:
    """Who sends this request, and from where, for the audit log."""
    return Source(get_scope(request).name, request.META.get("REMOTE_ADDR", ""))


def _outside_bin(model: type[Owned]) -> QuerySet[Owned]:
    rows, deletion = model._default_manager.all(), RULES[model].deletion
    return rows.filter(**{f"{deletion}__isnull": True}) if deletion else rows


def get_scope(request: HttpRequest) -> Scope:
    """The scope of the API's caller, else of the session; created once a request."""
    caller = getattr(request, "auth", None)
    if isinstance(caller, Scope):
        return caller
    found: Scope | None = getattr(request, "_scope", None)
    if found is None or found.user != request.user:
        found = request._scope = Scope(cast(User, request.user))  # type: ignore[attr-defined]
    return found
