"""`manage.py pool NAME`: show or change the settings of a pool."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs.models import Pool
from jobs.pools import pool_settings
from jobs.pools.setting_types import SettingsError


class Command(BaseCommand):
    help = "Show or change a pool's settings: " + ", ".join(pool_settings.BY_NAME)
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("pool")
        parser.add_argument(
            "--set", dest="changes", action="append", default=[], metavar="NAME=VALUE",
            help="for example max_gang=8 or max_time_limit_s='12 h'; an empty value removes the limit",
        )  # fmt: skip
        parser.add_argument("--user", default="admin", help="user who acts (default: admin)")

    def handle(self, *, pool: str, changes: list[str], user: str, **options: Any) -> None:
        found = Pool.objects.filter(name=pool).first()
        if found is None:
            known = ", ".join(Pool.objects.order_by("name").values_list("name", flat=True)[:20])
            raise CommandError(f"Pool '{pool}' does not exist. Known pools: {known or 'none'}.")
        texts = dict(_pair(change) for change in changes)
        if unknown := sorted(texts.keys() - pool_settings.BY_NAME.keys()):
            raise CommandError(
                f"Setting '{unknown[0]}' is unknown; use one of {', '.join(pool_settings.BY_NAME)}."
            )
        try:
            event = pool_settings.change(found, user, texts) if texts else None
        except SettingsError as error:
            raise CommandError(str(error)) from None
        if texts:
            self.stdout.write(event.text if event else "Nothing changed.")
            return
        for name, text in pool_settings.setting_texts(found).items():
            self.stdout.write(f"{name}={text}")


def _pair(change: str) -> tuple[str, str]:
    name, equals, value = change.partition("=")
    if not equals:
        raise CommandError(f"--set '{change}' does not have the form NAME=VALUE.")
    return name.strip(), value
