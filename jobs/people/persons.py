"""Accounts of people: created, changed, deactivated, made admin."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from jobs.models import Invitation
from jobs.people import accounts, audit, members
from jobs.people.accounts import PeopleError

PROFILE_CHARS = {"first_name": 150, "last_name": 150, "email": 254}  # of Django's columns
ACTIONS = ("deactivate", "activate", "grant_admin", "revoke_admin")


def create(user: User, source: audit.Source) -> User:
    """Store a new account whose fields a form has checked."""
    with transaction.atomic():
        user.save(force_insert=True)
        audit.record(source, "person.created", user.get_username())
    return user


def change_profile(user: User, first_name: str, last_name: str, email: str, source: audit.Source) -> bool:
    """Change the name and address; returns whether anything changed. Raises PeopleError."""
    values = {"first_name": first_name.strip(), "last_name": last_name.strip(), "email": email.strip()}
    for name, text in values.items():
        limit = PROFILE_CHARS[name]
        if len(text) > limit or "\0" in text:
            raise PeopleError(f"This has at most {limit} characters; yours has {len(text)}.", name)
    if values["email"]:
        try:
            validate_email(values["email"])
        except ValidationError:
            raise PeopleError(f"'{values['email']}' is no e-mail address.", "email") from None
    changed = sorted(name for name, text in values.items() if getattr(user, name) != text)
    if changed:
        with transaction.atomic():
            User.objects.filter(pk=user.pk).update(**values)
            audit.record(source, "person.profile_changed", user.get_username(), {"fields": changed})
    return bool(changed)


def change_password(user: User, password: str, source: audit.Source) -> None:
    """Set a password that a form has checked; all other sessions of the person end with it."""
    user.set_password(password)
    with transaction.atomic():
        user.save(update_fields=["password"])
        audit.record(source, "person.password_changed", user.get_username())


def act(user: User, action: str, source: audit.Source) -> None:
    """Carry out one of ACTIONS. Raises PeopleError where it would leave no active admin, or lock out the actor."""
    if action not in ACTIONS:
        raise PeopleError(f"'{action}' is no action; choose one of {', '.join(ACTIONS)}.")
    with transaction.atomic():
        row = User.objects.select_for_update().get(pk=user.pk)
        takes_away = action in ("deactivate", "revoke_admin")
        if takes_away and row.get_username() == source.actor:
            raise PeopleError("You cannot take away your own access. Ask another admin.")
        if takes_away and row.is_staff and not _other_admins(row):
            raise PeopleError(f"{row.get_username()} is the only admin. Make somebody else admin first.")
        if action in ("deactivate", "activate"):
            row.is_active = action == "activate"
            row.save(update_fields=["is_active"])
        else:
            row.is_staff = row.is_superuser = action == "grant_admin"
            row.save(update_fields=["is_staff", "is_superuser"])
        code = {
            "deactivate": "deactivated", "activate": "activated",
            "grant_admin": "admin_granted", "revoke_admin": "admin_revoked",
        }[action]  # fmt: skip
        audit.record(source, f"person.{code}", row.get_username())


def _other_admins(row: User) -> bool:
    return User.objects.filter(is_staff=True, is_active=True).exclude(pk=row.pk).exists()


def create_with_invitation(user: User, invitation: Invitation, source: audit.Source) -> User:
    """Store a new account and its membership, or neither. Raises PeopleError."""
    with transaction.atomic():
        create(user, source)
        members.accept(invitation, user, source)
    return user


def make_login_link(user: User, source: audit.Source) -> str:
    """Create a link that logs the person in once, as somebody who forgot the password needs it."""
    with transaction.atomic():
        token = accounts.make_login_link(user)
        audit.record(source, "person.login_link_created", user.get_username())
    return token
