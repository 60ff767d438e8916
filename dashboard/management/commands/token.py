"""`manage.py token NAME [USER]`: make an API token, which is shown once."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs.models import Membership
from jobs.models.people import TokenScope
from jobs.people import api_tokens
from jobs.people.accounts import PeopleError


class Command(BaseCommand):
    help = "Make an API token for scripts, acting as a user in that user's first team."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="purpose of the token, as shown in lists")
        parser.add_argument("user", nargs="?", default="admin")
        parser.add_argument(
            "--scope", choices=TokenScope.values, default=TokenScope.ADMIN, help="what it may do"
        )
        parser.add_argument("--days", default="", help="days until it expires; never by default")

    def handle(self, *, name: str, user: str, scope: str, days: str, **options: Any) -> None:
        found = get_user_model().objects.filter(username=user, is_active=True).first()
        membership = Membership.objects.filter(user=found).order_by("id").first() if found else None
        if found is None or membership is None:
            raise CommandError(f"There is no active user '{user}' with a team.")
        try:
            expires_at = api_tokens.expiry(days)
            self.stdout.write(api_tokens.create_token(found, membership.team, name, scope, expires_at))
        except PeopleError as error:
            raise CommandError(str(error)) from None
