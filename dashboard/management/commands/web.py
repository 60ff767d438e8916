"""`manage.py web`: the ASGI server, with its static files gathered and its pages loaded first."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import uvicorn
from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from dashboard.server import migration_lock, static_files


class Command(BaseCommand):
    help = "Serve the pages and the API."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)

    def handle(self, *, host: str, port: int, **options: Any) -> None:
        static_files.gather()
        import_module(settings.ROOT_URLCONF)  # every page and the API: now, and not within the first request
        migration_lock.wait(settings.PREPARING_FILE)
        uvicorn.run(
            "dashboard.asgi:application", host=host, port=port, lifespan="off", access_log=False, log_level="warning",
            timeout_graceful_shutdown=2,  # live streams never end by themselves
            server_header=False,
        )  # fmt: skip
