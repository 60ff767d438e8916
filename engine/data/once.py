"""Something built once on disk, however many processes ask for it at the same time."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path


def built_once(target: Path, build: Callable[[Path], None]) -> Path:
    """The folder `target`, complete. The first caller fills a folder beside it by `build(folder)` and renames
    it; the others wait on a kernel lock, which goes with its holder, so a killed builder blocks nobody.
    Raises OSError (disk full, not writable) and whatever `build` raises; nothing half-built stays visible."""
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(target.parent / f".{target.name}.lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.is_dir():
            return target
        # Only the lock's holder builds, so one fixed name is enough and a dead builder's rest is swept here.
        aside = target.parent / f".{target.name}.building"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(mode=0o700)
        try:
            build(aside)
            os.rename(aside, target)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return target
