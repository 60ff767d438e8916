"""The heartbeat of a rank: a few bytes of shared memory, written at every step, by which a hung rank is told.

The spool would not do: it falls silent with a full disk, while the rank trains on.
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path
from typing import NamedTuple

FORMAT = struct.Struct("<qqq")
NAME = "heartbeat"


class Beat(NamedTuple):
    """The latest of a rank's beats. `step` counts steps done; `number` grows with every beat."""

    step: int
    number: int
    is_patient: int  # 1 while it saves or validates, which may take far longer than a step


class Heart:
    """The writing side. A beat costs a microsecond and no system call."""

    def __init__(self, folder: Path, rank: int) -> None:
        descriptor = os.open(_path(folder, rank), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, FORMAT.size)
            self._memory = mmap.mmap(descriptor, FORMAT.size)
        finally:
            os.close(descriptor)
        self._count = 0

    def beat(self, step: int, *, is_patient: bool = False) -> None:
        self._count += 1
        FORMAT.pack_into(self._memory, 0, step, self._count, is_patient)


def read(folder: Path, rank: int) -> Beat | None:
    """None before the first beat."""
    try:
        content = _path(folder, rank).read_bytes()
    except OSError:
        return None
    if len(content) < FORMAT.size:
        return None
    beat = Beat(*FORMAT.unpack_from(content))
    return beat if beat.number else None


def _path(folder: Path, rank: int) -> Path:
    return folder / f"{NAME}{rank}"
