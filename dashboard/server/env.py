"""Typed readers of environment variables.

A value that cannot be parsed stops the start with a sentence. Each reader records its variable for docs/settings.md.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

CONNECTION_AGE_S = 300  # threads are reused by requests: dashboard.server.threads
STUCK_TRANSACTION_MS = 15_000


@dataclass(frozen=True)
class Variable:
    """An environment variable as docs/settings.md lists it."""

    name: str
    kind: str  # text, flag, whole number, list, path
    default: str
    meaning: str
    unit: str = ""


VARIABLES: dict[str, Variable] = {}


def _record(name: str, kind: str, default: object, meaning: str, unit: str = "") -> None:
    VARIABLES[name] = Variable(name, kind, str(default), meaning, unit)


def text(name: str, default: str, meaning: str, *, shown: str | None = None) -> str:
    """The variable's text. `shown` replaces a default that differs between machines in the reference."""
    _record(name, "text", default if shown is None else shown, meaning)
    return os.environ.get(name) or default


def folder(name: str, default: Path, meaning: str, *, shown: str) -> Path:
    """An absolute path. `shown` names the default in the reference."""
    _record(name, "path", shown, meaning)
    return Path(os.environ.get(name) or default).resolve()


def flag(name: str, default: bool, meaning: str) -> bool:
    _record(name, "flag", int(default), meaning)
    value = os.environ.get(name)
    if not value:
        return default
    if value.lower() not in ("1", "true", "0", "false"):
        raise ImproperlyConfigured(f"{name}={value!r}: use 1, true, 0 or false.")
    return value.lower() in ("1", "true")


def whole(name: str, default: int, unit: str, meaning: str, *, least: int = 0) -> int:
    """A whole number of at least `least` in `unit` (s, bytes or empty)."""
    _record(name, "whole number", default, meaning, unit)
    value = os.environ.get(name)
    if not value:
        return default
    try:
        number = int(value)
    except ValueError:
        raise ImproperlyConfigured(f"{name}={value[:80]!r} is not a whole number.") from None
    if number < least:
        raise ImproperlyConfigured(f"{name}={number} is too small; use at least {least}.")
    return number


def words(name: str, default: list[str], meaning: str) -> list[str]:
    """A comma-separated list."""
    _record(name, "list", ",".join(default), meaning)
    value = os.environ.get(name)
    return [word.strip() for word in value.split(",") if word.strip()] if value else default


def secret(name: str, file: Path, meaning: str, *, shown: str) -> str:
    """The variable, or the content of the file named by NAME_FILE, or of a private file that is made at first use."""
    _record(name, "text", shown, meaning)
    _record(f"{name}_FILE", "path", "", f"A file that holds {name}.")
    if value := os.environ.get(name):
        return value
    if elsewhere := os.environ.get(f"{name}_FILE"):
        return Path(elsewhere).read_text().strip()
    try:
        return file.read_text() if file.exists() else _new_secret(file)
    except OSError as error:
        raise ImproperlyConfigured(f"Cannot write in {file.parent}: {error.strerror}.") from None


def _new_secret(file: Path) -> str:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    value = secrets.token_urlsafe(50)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        stream.write(value)
    return value


def socket(path: Path) -> Path:
    """The path itself, or a short private one if it does not fit into a unix socket's address (108 bytes)."""
    if len(str(path)) <= 100:
        return path
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"fourwalls-{os.getuid()}-{digest}" / path.name


def refuse_unencoded_password(name: str, url: str) -> None:
    """Raise ImproperlyConfigured for a URL whose password ends the address of the server early."""
    try:
        server = urlsplit(url).netloc
    except ValueError as error:  # such as http://[
        raise ImproperlyConfigured(f"{name} cannot be read: {error}.") from None
    if server and "@" in url.partition(server)[2]:
        raise ImproperlyConfigured(
            f"{name}: its password holds / ? or #. Write %2F %3F or %23 instead, or choose one of letters and digits."
        )


def database(url: str, sqlite_file: Path) -> dict[str, object]:
    """Django's settings for a postgresql:// URL, or for the SQLite file if the URL is empty."""
    if not url:
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": sqlite_file,
            "CONN_MAX_AGE": CONNECTION_AGE_S,
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                # FULL: a power cut loses no acknowledged write, at the cost of 15 to 22 % of the ingest rate.
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; "
                "PRAGMA cache_size=-65536; PRAGMA mmap_size=268435456",
            },
        }
    try:
        refuse_unencoded_password("DATABASE_URL", url)
        parts = urlsplit(url)
        port = parts.port or ""
    except ValueError as error:  # such as http://[ or a port that is no number
        raise ImproperlyConfigured(f"DATABASE_URL cannot be read: {error}.") from None
    if parts.scheme not in ("postgres", "postgresql"):
        raise ImproperlyConfigured(
            f"DATABASE_URL: '{parts.scheme}' is not supported; use postgresql://user:password@host/name."
        )
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or ""),
        "PORT": port,
        "CONN_MAX_AGE": CONNECTION_AGE_S,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "server_side_binding": True,
            # A process that stops in the middle of a transaction, or loses its machine, holds row locks that other
            # schedulers wait for, such as a pool's: the server ends the transaction after this time.
            # JIT compilation takes longer than any of our statements: a filter with `or` takes 86 ms of CPU with it
            # and 56 ms without.
            "options": f"-c idle_in_transaction_session_timeout={STUCK_TRANSACTION_MS} -c jit=off",
        },
    }
