"""Folders that are built once, also when several processes request them."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path


def build_once(target: Path, build: Callable[[Path], None]) -> Path:
    """Return the complete folder `target`, building it if it does not exist.

    The first caller fills a temporary folder with `build(folder)` and renames it. The others wait on a kernel lock,
    which is released when its process dies, so a killed builder blocks no other process. A partly built folder is
    never visible. Raises OSError (disk full, not writable) and everything that `build` raises.
    """
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(target.parent / f".{target.name}.lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.is_dir():
            return target
        # Only the process that holds the lock builds, so one fixed name is enough. Removes what a dead builder left.
        temporary = target.parent / f".{target.name}.building"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(mode=0o700)
        try:
            build(temporary)
            os.rename(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return target
