"""`manage.py token NAME [USER]`: make an API token, which is shown once."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs.models import Membership
from jobs.people import accounts


class Command(BaseCommand):
    help = "Make an API token for scripts, acting as a user in that user's first team."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="purpose of the token, as shown in lists")
        parser.add_argument("user", nargs="?", default="admin")

    def handle(self, *, name: str, user: str, **options: Any) -> None:
        found = get_user_model().objects.filter(username=user, is_active=True).first()
        membership = Membership.objects.filter(user=found).order_by("id").first() if found else None
        if found is None or membership is None:
            raise CommandError(f"There is no active user '{user}' with a team.")
        self.stdout.write(accounts.make_api_token(found, membership.team, name))
