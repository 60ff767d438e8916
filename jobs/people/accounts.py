"""Accounts: the first team and user, one-time login links and API tokens.

The database holds only hashes of links and tokens.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from jobs.models import ApiToken, LoginLink, Membership, Team
from jobs.models.people import Role

LOGIN_LINK_LIFE = timedelta(minutes=15)
TOKEN_PREFIX = "fw_"  # secret scanners find a leaked token by it
LAST_USED_RESOLUTION = timedelta(minutes=1)  # a busy script costs one write per minute, not one per request


@transaction.atomic
def ensure_first_team_and_user() -> User:
    """Create the user 'admin', lead of team 'default', unless it exists; it has no password until one is set."""
    team, _ = Team.objects.get_or_create(slug="default", defaults={"name": "default"})
    user, is_new = User.objects.get_or_create(
        username="admin", defaults={"is_staff": True, "is_superuser": True}
    )
    if is_new:
        user.set_unusable_password()
        user.save(update_fields=["password"])
    Membership.objects.get_or_create(user=user, team=team, defaults={"role": Role.LEAD})
    return user


def check_database() -> None:
    """Raise OperationalError while accounts cannot be read."""
    User.objects.exists()


def first_writable_team(user: User) -> Team | None:
    """The default team of a user who submits; None for a user who is a viewer everywhere."""
    writers = Membership.objects.filter(user=user).exclude(role=Role.VIEWER).select_related("team")
    membership = writers.order_by("id").first()
    return membership.team if membership else None


def make_login_link(user: User) -> str:
    """Create a token that logs `user` in once within 15 minutes."""
    token = secrets.token_urlsafe(32)
    LoginLink.objects.create(user=user, sha256=_hash(token), expires_at=timezone.now() + LOGIN_LINK_LIFE)
    return token


def redeem_login_link(token: str) -> User | None:
    """Return the user of a login token, or None if it is unknown, used or expired, or the account is inactive."""
    now = timezone.now()
    links = LoginLink.objects.filter(
        sha256=_hash(token), used_at=None, expires_at__gt=now, user__is_active=True
    )
    with transaction.atomic():
        link = links.select_related("user").first()
        # The conditional UPDATE lets only one of two simultaneous requests win.
        if link is None or not LoginLink.objects.filter(id=link.id, used_at=None).update(used_at=now):
            return None
    return link.user


def make_api_token(user: User, team: Team, name: str, expires_at: datetime | None = None) -> str:
    """Create an API token; its text is available only here."""
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    ApiToken.objects.create(
        user=user, team=team, name=name, prefix=token[:8], sha256=_hash(token), expires_at=expires_at
    )
    return token


def user_of_token(raw: str) -> tuple[User, Team] | None:
    """Return the user and team of an API token.

    None for an unknown or expired token, an inactive account, or a user who has left the team.
    """
    now = timezone.now()
    token = (
        ApiToken.objects.filter(Q(expires_at=None) | Q(expires_at__gt=now), sha256=_hash(raw))
        .filter(user__is_active=True)
        .select_related("user", "team")
        .first()
    )
    if token is None or not Membership.objects.filter(user=token.user, team=token.team).exists():
        return None
    stale = Q(last_used_at=None) | Q(last_used_at__lt=now - LAST_USED_RESOLUTION)
    if token.last_used_at is None or token.last_used_at < now - LAST_USED_RESOLUTION:
        ApiToken.objects.filter(stale, id=token.id).update(last_used_at=now)
    return token.user, token.team


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
