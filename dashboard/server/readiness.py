"""Checks of everything that the web side needs to serve people."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache
from typing import NamedTuple

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from jobs.models import ComponentHeartbeat

SCHEDULER_S = 60.0  # without a completed loop
BROKER_TIMEOUT_S = 1.0


class Check(NamedTuple):
    """A check and what is wrong; '' for nothing."""

    name: str
    problem: str


def check_all() -> list[Check]:
    """The checks in order. Those that need the database are not made while it does not answer."""
    database = _check("database", _find_database_problem)
    if database.problem:
        reads = [Check(name, "The database does not answer.") for name in ("migrations", "scheduler")]
    else:
        reads = [
            _check("migrations", _find_migration_problem),
            _check("scheduler", _find_scheduler_problem),
        ]
    return [database, *reads, _check("broker", _find_broker_problem), _check("disk", _find_disk_problem)]


def _check(name: str, find_problem: Callable[[], str]) -> Check:
    try:
        return Check(name, find_problem())
    except (DatabaseError, redis.RedisError, OSError) as error:
        return Check(name, str(error).strip() or type(error).__name__)


def _find_database_problem() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return ""


def _find_migration_problem() -> str:
    executor = MigrationExecutor(connection)
    pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if not pending:
        return ""
    return f"{len(pending)} migrations are not applied, the first is {pending[0][0]}. Run manage.py prepare."


def _find_scheduler_problem() -> str:
    at = ComponentHeartbeat.objects.filter(component="scheduler").values_list("at", flat=True).first()
    if at is None:
        return "No scheduler has completed its loop yet."
    if timezone.now() - at > timedelta(seconds=SCHEDULER_S):
        return f"The scheduler completed its last loop at {at:%Y-%m-%d %H:%M:%S} UTC."
    return ""


def _find_broker_problem() -> str:
    _connect_broker(settings.BROKER_URL).ping()
    return ""


@lru_cache(maxsize=4)
def _connect_broker(url: str) -> redis.Redis:
    timeouts = {"socket_timeout": BROKER_TIMEOUT_S, "socket_connect_timeout": BROKER_TIMEOUT_S}
    if url.startswith("redis+socket://"):  # as Celery writes it
        return redis.Redis(
            unix_socket_path=url.removeprefix("redis+socket://"), socket_timeout=BROKER_TIMEOUT_S
        )
    return redis.Redis.from_url(url, **timeouts)


def _find_disk_problem() -> str:
    free, least = shutil.disk_usage(settings.HOME_DIR).free, settings.DISK_RESERVE_BYTES
    if free >= least:
        return ""
    return f"{free:,} bytes are free in FOURWALLS_HOME; below {least:,} nothing is stored any more."
