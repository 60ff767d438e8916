"""Names of W&B's client that scripts use beside a run, where Fourwalls needs nothing to be done."""

from __future__ import annotations

import enum
import logging
from types import SimpleNamespace
from typing import Any

from fourwalls.launch import random_id

log = logging.getLogger("fourwalls")


class Error(Exception):
    """Base of the errors that scripts catch."""


class CommError(Error):
    """Never raised by this client while a run logs."""


class UsageError(Error):
    """Never raised by this client while a run logs."""


class AlertLevel(enum.Enum):
    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"


class Settings(SimpleNamespace):
    """Accepted by init() and ignored."""


def login(*_: Any, **__: Any) -> bool:
    """FOURWALLS_TOKEN names the account; there is nothing to log in to."""
    return True


def setup(*_: Any, **__: Any) -> None:
    return None


ensure_configured = teardown = setup


def termlog(text: str = "", *_: Any, **__: Any) -> None:
    log.info("%s", text)


def termwarn(text: str = "", *_: Any, **__: Any) -> None:
    log.warning("%s", text)


def termerror(text: str = "", *_: Any, **__: Any) -> None:
    log.error("%s", text)


def generate_id(length: int = 12) -> str:
    """A random id for init(id=...)."""
    text = random_id()
    while len(text) < length:
        text += random_id()
    return text[:length]
