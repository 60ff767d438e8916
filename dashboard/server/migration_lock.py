"""Lock that is held while migrations run.

Pages are served once it is free.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold the lock in the context. It is freed too if the process ends."""
    with open(path, "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def wait_for_migrations(path: Path) -> None:
    """Return when no migration runs."""
    with open(path, "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
