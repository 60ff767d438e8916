"""API tokens of people.

The database holds only their hashes.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from jobs.models import ApiToken, Membership, Team
from jobs.models.people import TokenScope
from jobs.people import audit
from jobs.people.accounts import PeopleError, check_name, hash_secret

TOKEN_PREFIX = "fw_"  # secret scanners find a leaked token by it
LAST_USED_RESOLUTION = timedelta(minutes=1)  # a busy script costs one write per minute, not one per request
MAX_DAYS = 3650
TOKENS_OF_A_PERSON = 200


def create_token(
    user: User, team: Team, name: str, scope: str = TokenScope.ADMIN, expires_at: datetime | None = None,
    source: audit.Source = audit.SERVER,
) -> str:  # fmt: skip
    """Create an API token; its text is available only here. Raises PeopleError."""
    name = check_name(name, "The name of a token", ApiToken._meta.get_field("name").max_length)
    if scope not in TokenScope.values:
        raise PeopleError(f"'{scope}' is no scope; choose one of {', '.join(TokenScope.values)}.", "scope")
    if not Membership.objects.filter(user=user, team=team).exists():
        raise PeopleError(f"{user.get_username()} is not in team {team.name}.", "team")
    if ApiToken.objects.filter(user=user).count() >= TOKENS_OF_A_PERSON:
        raise PeopleError(
            f"A person has at most {TOKENS_OF_A_PERSON} tokens. Revoke those that are no longer needed."
        )
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    with transaction.atomic():
        row = ApiToken.objects.create(
            user=user, team=team, name=name, scope=scope, prefix=token[:8], sha256=hash_secret(token),
            expires_at=expires_at,
        )  # fmt: skip
        values = {"scope": scope, "team": team.slug, "owner": user.get_username()}
        audit.record(source, "token.created", str(row), values)
    return token


def expiry(text: str) -> datetime | None:
    """The moment after so many days; None for an empty text, which means never. Raises PeopleError."""
    if not text.strip():
        return None
    days = int(text) if text.strip().isascii() and text.strip().isdigit() and len(text) < 8 else 0
    if not 1 <= days <= MAX_DAYS:
        raise PeopleError(
            f"'{text}' is not between 1 and {MAX_DAYS:,} days; leave it empty for no expiry.", "days"
        )
    return timezone.now() + timedelta(days=days)


def list_of(user: User) -> QuerySet[ApiToken]:
    """The tokens of a person, newest first, with whether the person is still in the token's team."""
    member = Membership.objects.filter(user=OuterRef("user"), team=OuterRef("team"))
    return (
        ApiToken.objects.filter(user=user)
        .select_related("team")
        .annotate(is_in_team=Exists(member))
        .order_by("-id")
    )


def revoke(user: User, token_id: int, source: audit.Source) -> ApiToken:
    """Delete a token of this person, at once invalid. Raises PeopleError if there is none."""
    with transaction.atomic():
        row = ApiToken.objects.filter(user=user, id=token_id).first()
        if row is None or not ApiToken.objects.filter(id=row.id).delete()[0]:
            raise PeopleError("This token was revoked already.")
        audit.record(source, "token.revoked", str(row), {"owner": user.get_username()})
    return row


def find(raw: str) -> ApiToken | None:
    """Return the token of this text with its user and team.

    None for an unknown or expired token, an inactive account, or a user who has left the team.
    """
    now = timezone.now()
    token = (
        ApiToken.objects.filter(Q(expires_at=None) | Q(expires_at__gt=now), sha256=hash_secret(raw))
        .filter(user__is_active=True)
        .select_related("user", "team")
        .first()
    )
    if token is None or not Membership.objects.filter(user=token.user, team=token.team).exists():
        return None
    stale = Q(last_used_at=None) | Q(last_used_at__lt=now - LAST_USED_RESOLUTION)
    if token.last_used_at is None or token.last_used_at < now - LAST_USED_RESOLUTION:
        ApiToken.objects.filter(stale, id=token.id).update(last_used_at=now)
    return token
