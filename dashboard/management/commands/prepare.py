"""`manage.py prepare`: migrations, the first team and user, free pools."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand

from jobs.models import Pool
from jobs.people import accounts


class Command(BaseCommand):
    help = "Migrate the database; make the first team and user if there are none."

    def handle(self, **options: Any) -> None:
        call_command("migrate", verbosity=1, interactive=False)
        accounts.ensure_first_team_and_user()
        for name in settings.FREE_POOLS:
            Pool.objects.update_or_create(name=name, defaults={"joins_freely": True})
