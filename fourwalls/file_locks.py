"""Lock of a file by one process, on Linux, macOS and Windows."""

from __future__ import annotations

import os
from typing import Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
try:
    import msvcrt
except ImportError:
    msvcrt = None  # type: ignore[assignment]

# Flags that one of the systems has: no inheritance, and bytes as they are.
_CLOSED_IN_CHILDREN = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOINHERIT", 0)
_BYTES = getattr(os, "O_BINARY", 0)


def open_file(path: os.PathLike[str], flags: int) -> int:
    """A descriptor of a private file that no child process inherits."""
    return os.open(path, flags | _CLOSED_IN_CHILDREN | _BYTES, 0o600)


def try_lock(descriptor: int) -> bool | None:
    """True: locked until the descriptor is closed or the process dies. False: another process has the lock. None:
    the file system, or the system, has no locks."""
    if fcntl is not None:
        return _try_flock(descriptor)
    return _try_windows_lock(descriptor, msvcrt) if msvcrt is not None else None


def _try_flock(descriptor: int) -> bool | None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _try_windows_lock(descriptor: int, system: Any) -> bool:
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        system.locking(descriptor, system.LK_NBLCK, 1)
    except OSError:
        return False
    return True
