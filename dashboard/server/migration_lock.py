"""The lock that is held while a database is brought up to date: pages are served once it is free."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def preparing(path: Path) -> Iterator[None]:
    with open(path, "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield  # closing it, or the end of this process, frees it


def wait(path: Path) -> None:
    """Returns at once where nobody prepares anything."""
    with open(path, "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
