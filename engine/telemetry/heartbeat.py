"""Heartbeat of a rank: a few bytes of shared memory, written at every step.

The supervisor detects a hung rank by it. The spool cannot serve this purpose: with a full disk it stops while the rank
continues to train.
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
    """The activity of a rank. Each has its own time limit (engine.supervisor.hang_detection)."""

    DATA = 0  # reads and tokenises the corpus
    BUILD = 1  # connects to the other ranks, builds the engine
    FIRST_STEP = 2  # compiles kernels, opens communicators
    STEP = 3
    LONG = 4  # loads or saves a checkpoint, validates, traces


class Beat(NamedTuple):
    """The latest beat of a rank. `step` counts completed steps. `number` grows with every beat except those between
    micro-batches, which `micro` counts, because not all stages of a pipeline load micro-batches."""

    step: int
    number: int
    stage: int
    micro: int = 0


class Heartbeat:
    """Writer of the heartbeat. A beat takes a microsecond and no system call."""

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
        """A beat between two micro-batches, so that a long step is not taken for a hang."""
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
