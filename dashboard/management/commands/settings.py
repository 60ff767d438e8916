"""`manage.py settings`: print docs/settings.md."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from dashboard.server.settings_reference import render_reference


class Command(BaseCommand):
    help = "Print the reference of all environment variables (docs/settings.md)."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(render_reference(), ending="")
