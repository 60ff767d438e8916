"""`manage.py pool NAME`: what a pool allows and what it costs, shown or changed."""

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
            help="such as max_gang=8 or max_time_limit_s='12 h'; nothing behind = takes the limit away",
        )  # fmt: skip
        parser.add_argument("--user", default="admin", help="in whose name (default: admin)")

    def handle(self, *, pool: str, changes: list[str], user: str, **options: Any) -> None:
        found = Pool.objects.filter(name=pool).first()
        if found is None:
            known = ", ".join(Pool.objects.order_by("name").values_list("name", flat=True)[:20])
            raise CommandError(f"There is no pool '{pool}'. Known: {known or 'none'}.")
        texts = dict(_pair(change) for change in changes)
        if unknown := sorted(texts.keys() - pool_settings.BY_NAME.keys()):
            raise CommandError(f"'{unknown[0]}' is none of {', '.join(pool_settings.BY_NAME)}.")
        try:
            event = pool_settings.change(found, user, texts) if texts else None
        except SettingsError as error:
            raise CommandError(str(error)) from None
        if texts:
            self.stdout.write(event.text if event else "Nothing changed.")
            return
        for name, text in pool_settings.texts_of(found).items():
            self.stdout.write(f"{name}={text}")


def _pair(change: str) -> tuple[str, str]:
    name, equals, value = change.partition("=")
    if not equals:
        raise CommandError(f"'{change}' is not of the form NAME=VALUE.")
    return name.strip(), value
