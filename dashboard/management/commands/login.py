"""`manage.py login [USER]`: print a link that logs one user in, once."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs.people import accounts


class Command(BaseCommand):
    help = "Print a one-time login link, valid for 15 minutes."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", nargs="?", default="admin")

    def handle(self, *, user: str, **options: Any) -> None:
        found = get_user_model().objects.filter(username=user, is_active=True).first()
        if found is None:
            raise CommandError(f"There is no active user '{user}'.")
        self.stdout.write(f"{settings.BASE_URL}/login/{accounts.make_login_link(found)}/")
