"""Accounts: the first team and user, and one-time login links.

The database holds only hashes of links.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from jobs.models import LoginLink, Membership, Team
from jobs.models.people import Role

LOGIN_LINK_LIFE = timedelta(minutes=15)


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
    LoginLink.objects.create(
        user=user, sha256=hash_secret(token), expires_at=timezone.now() + LOGIN_LINK_LIFE
    )
    return token


def redeem_login_link(token: str) -> User | None:
    """Return the user of a login token, or None if it is unknown, used or expired, or the account is inactive."""
    now = timezone.now()
    links = LoginLink.objects.filter(
        sha256=hash_secret(token), used_at=None, expires_at__gt=now, user__is_active=True
    )
    with transaction.atomic():
        link = links.select_related("user").first()
        # The conditional UPDATE lets only one of two simultaneous requests win.
        if link is None or not LoginLink.objects.filter(id=link.id, used_at=None).update(used_at=now):
            return None
    return link.user


def hash_secret(token: str) -> str:
    """SHA-256 of a link or token, under which it is stored."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


class PeopleError(ValueError):
    """A change that is not allowed; `field` names the form field that shows the message."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


def check_name(text: str, subject: str, limit: int | None) -> str:
    """The text without needless spaces. Raises PeopleError if it is empty or too long."""
    name = " ".join(text.replace("\0", "").split())
    if not name or len(name) > (limit or 100):
        raise PeopleError(f"{subject} has 1 to {limit} characters; this one has {len(name)}.", "name")
    return name
