"""People's keys: the first team and user, one-time login links, API tokens. Only hashes are stored."""

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
TOKEN_MARK = "fw_"  # makes a leaked token findable by secret scanners
LAST_USED_RESOLUTION = timedelta(minutes=1)  # a busy script costs one write a minute, not one a request


@transaction.atomic
def ensure_first_team_and_user() -> User:
    """The user 'admin', lead of team 'default', who has no password until one is set; made once."""
    team, _ = Team.objects.get_or_create(slug="default", defaults={"name": "default"})
    user, is_new = User.objects.get_or_create(
        username="admin", defaults={"is_staff": True, "is_superuser": True}
    )
    if is_new:
        user.set_unusable_password()
        user.save(update_fields=["password"])
    Membership.objects.get_or_create(user=user, team=team, defaults={"role": Role.LEAD})
    return user


def first_writable_team(user: User) -> Team | None:
    """The team a user submits for when none is named; None for somebody who may only look."""
    writers = Membership.objects.filter(user=user).exclude(role=Role.VIEWER).select_related("team")
    membership = writers.order_by("id").first()
    return membership.team if membership else None


def make_login_link(user: User) -> str:
    """A token that logs `user` in once within 15 minutes."""
    token = secrets.token_urlsafe(32)
    LoginLink.objects.create(user=user, sha256=_hash(token), expires_at=timezone.now() + LOGIN_LINK_LIFE)
    return token


def redeem_login_link(token: str) -> User | None:
    """The user whom the token logs in, or None: unknown, used, expired, or the account is switched off."""
    now = timezone.now()
    links = LoginLink.objects.filter(
        sha256=_hash(token), used_at=None, expires_at__gt=now, user__is_active=True
    )
    with transaction.atomic():
        link = links.select_related("user").first()
        # The conditional UPDATE decides between two browsers that come at the same moment.
        if link is None or not LoginLink.objects.filter(id=link.id, used_at=None).update(used_at=now):
            return None
    return link.user


def make_api_token(user: User, team: Team, name: str, expires_at: datetime | None = None) -> str:
    """A new key; this is the only time its text is seen."""
    token = TOKEN_MARK + secrets.token_urlsafe(32)
    ApiToken.objects.create(
        user=user, team=team, name=name, prefix=token[:8], sha256=_hash(token), expires_at=expires_at
    )
    return token


def user_of_token(raw: str) -> tuple[User, Team] | None:
    """Who speaks and for which team; None for an unknown or expired key, or a person who has left the team."""
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
