"""`manage.py web`: the ASGI server."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import uvicorn
from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from dashboard.server import migration_lock, static_files
from dashboard.server.http_protocol import BoundedProtocol, raise_connections_limit


class Command(BaseCommand):
    help = "Serve the pages and the API."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)

    def handle(self, *, host: str, port: int, **options: Any) -> None:
        static_files.collect_changed()
        import_module(settings.ROOT_URLCONF)  # imports all pages and the API now, not in the first request
        migration_lock.wait_for_migrations(settings.PREPARING_FILE)
        raise_connections_limit()
        uvicorn.run(
            "dashboard.asgi:application", host=host, port=port, lifespan="off", access_log=False, log_config=None,
            http=BoundedProtocol, ws="none",
            proxy_headers=bool(settings.TRUSTED_PROXIES), forwarded_allow_ips=settings.TRUSTED_PROXIES,
            timeout_keep_alive=75,  # longer than the pause between two requests of most clients
            timeout_graceful_shutdown=2,  # live streams do not end by themselves
            server_header=False,
        )  # fmt: skip
