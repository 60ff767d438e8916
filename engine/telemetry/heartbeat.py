"""The heartbeat of a rank: a few bytes of shared memory, written at every step, by which a hung rank is told.

The spool would not do: it falls silent with a full disk, while the rank trains on.
"""

from __future__ import annotations

import mmap
import os
import struct
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

FORMAT = struct.Struct("<qqqq")
NAME = "heartbeat"


class Stage(IntEnum):
    """What a rank is at: each has its own limit (engine.supervisor.hang_detection)."""

    DATA = 0  # a large corpus is read and tokenised for as long as it takes
    BUILD = 1  # meets its peers, builds the engine
    FIRST_STEP = 2  # kernels are compiled, communicators opened
    STEP = 3
    LONG = 4  # loads or saves a checkpoint, validates


class Beat(NamedTuple):
    """The latest of a rank's beats. `step` counts steps done; `number` grows with every beat but those between
    micro-batches, which `micro` counts: not all stages of a pipeline fetch them."""

    step: int
    number: int
    stage: int
    micro: int = 0


class Heartbeat:
    """The writing side. A beat costs a microsecond and no system call."""

    def __init__(self, folder: Path, rank: int) -> None:
        descriptor = os.open(_path(folder, rank), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, FORMAT.size)
            self._memory = mmap.mmap(descriptor, FORMAT.size)
        finally:
            os.close(descriptor)
        self._last = Beat(0, 0, Stage.DATA)

    def beat(self, step: int, stage: Stage = Stage.STEP) -> None:
        self._write(Beat(step, self._last.number + 1, stage, self._last.micro))

    def beat_micro(self) -> None:
        """Between two micro-batches: a step of many is not quiet while it lasts."""
        self._write(self._last._replace(micro=self._last.micro + 1))

    def _write(self, beat: Beat) -> None:
        self._last = beat
        FORMAT.pack_into(self._memory, 0, *beat)


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
