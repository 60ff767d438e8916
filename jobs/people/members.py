"""Members of teams: added, invited, given another role, removed.

Every change goes through this module. A user's mistake raises PeopleError with the sentence to show.
"""

from __future__ import annotations

import secrets
from datetime import timedelta

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.text import slugify

from jobs.models import ApiToken, Invitation, Membership, Team
from jobs.models.people import Role
from jobs.people import audit
from jobs.people.accounts import PeopleError, check_name, hash_secret

RANKS = {role: rank for rank, role in enumerate((Role.VIEWER, Role.MEMBER, Role.LEAD))}
LEAST_DAYS, MAX_DAYS = 1, 60
OPEN_INVITATIONS = 200


def create_team(name: str, source: audit.Source, lead: User | None = None) -> Team:
    """Create a team. Raises PeopleError if its name is taken."""
    name = check_name(name, "The name of a team", 100)
    slug = slugify(name)[:50] or f"team-{secrets.token_hex(4)}"
    try:
        with transaction.atomic():
            team = Team.objects.create(name=name, slug=slug)
            audit.record(source, "team.created", team.slug, {"name": name})
            if lead is not None:
                add(team, lead, Role.LEAD, source)
    except IntegrityError:
        raise PeopleError(
            f"There is a team named {name}, or one with the same address ({slug}).", "name"
        ) from None
    return team


def rename_team(team: Team, name: str, source: audit.Source) -> None:
    """Change the name; the address and what scripts call the team stay. Raises PeopleError."""
    name = check_name(name, "The name of a team", 100)
    try:
        with transaction.atomic():
            Team.objects.filter(id=team.id).update(name=name)
            audit.record(source, "team.renamed", team.slug, {"from": team.name, "to": name})
    except IntegrityError:
        raise PeopleError(f"There is a team named {name}.", "name") from None


def add(team: Team, user: User, role: str, source: audit.Source) -> Membership:
    """Make a person a member. Raises PeopleError if the person is one already."""
    _check_role(role)
    if not user.is_active:
        raise PeopleError(f"The account {user.get_username()} is deactivated.", "username")
    try:
        with transaction.atomic():
            row = Membership.objects.create(team=team, user=user, role=role)
            audit.record(source, "member.added", user.get_username(), {"team": team.slug, "role": role})
    except IntegrityError:
        raise PeopleError(f"{user.get_username()} is in team {team.name} already.", "username") from None
    return row


def set_role(membership: Membership, role: str, source: audit.Source) -> None:
    """Raises PeopleError for an unknown role, and for the last lead."""
    _check_role(role)
    with transaction.atomic():
        row = _locked(membership)
        if row.role == role:
            return
        if row.role == Role.LEAD:
            _keep_a_lead(row)
        Membership.objects.filter(id=row.id).update(role=role)
        values = {"team": row.team.slug, "from": row.role, "to": role}
        audit.record(source, "member.role_changed", row.user.get_username(), values)


def remove(membership: Membership, source: audit.Source) -> None:
    """Remove a person from a team, with the person's tokens for it. Raises PeopleError for the last lead."""
    with transaction.atomic():
        row = _locked(membership)
        if row.role == Role.LEAD:
            _keep_a_lead(row)
        tokens, _ = ApiToken.objects.filter(user=row.user, team=row.team).delete()
        Membership.objects.filter(id=row.id).delete()
        values = {"team": row.team.slug, "role": row.role, "tokens": tokens}
        audit.record(source, "member.removed", row.user.get_username(), values)


def invite(team: Team, role: str, days: int, source: audit.Source) -> str:
    """Create an invitation; its text is available only here. Raises PeopleError."""
    _check_role(role)
    if not LEAST_DAYS <= days <= MAX_DAYS:
        raise PeopleError(f"{days} is not between {LEAST_DAYS} and {MAX_DAYS} days; try 7.", "days")
    if open_invitations(team).count() >= OPEN_INVITATIONS:
        raise PeopleError(f"The team has {OPEN_INVITATIONS} open invitations. Revoke some first.")
    token = secrets.token_urlsafe(32)
    with transaction.atomic():
        row = Invitation.objects.create(
            team=team, role=role, sha256=hash_secret(token), created_by=source.actor,
            expires_at=timezone.now() + timedelta(days=days),
        )  # fmt: skip
        audit.record(source, "invitation.created", team.slug, {"role": role, "number": row.id})
    return token


def open_invitations(team: Team) -> QuerySet[Invitation]:
    """Invitations that can still be accepted, newest first."""
    return team.invitations.filter(used_at=None, expires_at__gt=timezone.now()).order_by("-id")


def find_invitation(token: str) -> Invitation | None:
    """The invitation of this text; None if it is unknown, used, revoked or expired."""
    found = Invitation.objects.filter(sha256=hash_secret(token), used_at=None, expires_at__gt=timezone.now())
    return found.select_related("team").first()


def accept(invitation: Invitation, user: User, source: audit.Source) -> Membership:
    """Use up an invitation. A member with a higher role keeps it. Raises PeopleError if somebody else was first."""
    now = timezone.now()
    is_open = Invitation.objects.filter(id=invitation.id, used_at=None, expires_at__gt=now)
    with transaction.atomic():
        # The conditional UPDATE lets only one of two simultaneous requests win.
        if not is_open.update(used_at=now, used_by=user.get_username()):
            raise PeopleError("This invitation was used or revoked.")
        values = {"number": invitation.id, "role": invitation.role}
        audit.record(source, "invitation.accepted", invitation.team.slug, values)
        row = Membership.objects.filter(team=invitation.team, user=user).first()
        if row is None:
            return add(invitation.team, user, invitation.role, source)
        if RANKS[Role(row.role)] < RANKS[Role(invitation.role)]:
            set_role(row, invitation.role, source)
    return row


def revoke_invitation(invitation: Invitation, source: audit.Source) -> None:
    """Raises PeopleError if it was used or revoked already."""
    with transaction.atomic():
        if not Invitation.objects.filter(id=invitation.id, used_at=None).delete()[0]:
            raise PeopleError("This invitation was used or revoked already.")
        audit.record(source, "invitation.revoked", invitation.team.slug, {"number": invitation.id})


def _check_role(role: str) -> None:
    if role not in Role.values:
        raise PeopleError(f"'{role}' is no role; choose one of {', '.join(Role.values)}.", "role")


def _locked(membership: Membership) -> Membership:
    """The row as it is now; two changes of one team wait for each other. Raises PeopleError if it is gone."""
    Team.objects.select_for_update().get(id=membership.team_id)
    row = Membership.objects.filter(id=membership.id).select_related("user", "team").first()
    if row is None:
        raise PeopleError("This person is no longer in the team.")
    return row


def _keep_a_lead(row: Membership) -> None:
    others = Membership.objects.filter(team=row.team, role=Role.LEAD, user__is_active=True).exclude(id=row.id)
    if not others.exists():
        raise PeopleError(
            f"{row.user.get_username()} is the only lead of team {row.team.name}. Make another member lead first."
        )
