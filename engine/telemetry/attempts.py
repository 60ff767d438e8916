"""Live attempts of this node, with their devices and processes."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from engine.directory import AttemptDirectory, Placement, SupervisorState
from engine.telemetry.spool import SpoolWriter
from fourwalls.system import procfs

RECENT_S = 2.0  # a folder that changed within this time may change again with the same time stamp


@dataclass
class LocalAttempt:
    """One attempt directory. Its state is read again only after the file has changed."""

    name: str
    directory: AttemptDirectory
    spool: SpoolWriter
    state: SupervisorState | None = None
    placement: Placement | None = None
    _stamp: tuple[int, int] | None = field(default=None, repr=False)

    @property
    def is_live(self) -> bool:
        """Starting or running, with a supervisor that is alive: a killed supervisor leaves its last state behind."""
        state = self.state
        return state is not None and not state.is_terminal and procfs.is_alive(state.pid, state.pid_started)

    @property
    def pids(self) -> dict[str, list[int]]:
        """Rank processes by device id."""
        if not (self.state and self.placement):
            return {}
        running = {rank.rank: rank.pid for rank in self.state.ranks if rank.exit_code is None}
        by_device: dict[str, list[int]] = {seat.device: [] for seat in self.placement.seats}
        for seat in self.placement.seats:
            if seat.rank in running:
                by_device[seat.device].append(running[seat.rank])
        return by_device

    def refresh(self) -> None:
        try:
            found = (self.directory.path / "state.json").stat()
            stamp = (found.st_mtime_ns, found.st_ino)
            if stamp == self._stamp:
                return
            self.state = self.directory.read_state()
            self.placement = self.placement or self.directory.read_placement()
            self._stamp = stamp
        except (OSError, msgspec.MsgspecError):
            return  # not written yet, or being deleted


def local_attempt(folder: Path) -> LocalAttempt:
    directory = AttemptDirectory(folder)
    return LocalAttempt(folder.name, directory, SpoolWriter(directory.spool / "device.jsonl"))


class LocalAttempts:
    """The folder of all attempts. It is listed only after it has changed; ended attempts are never read again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, LocalAttempt] = {}
        self._ended: set[str] = set()
        self._folder_stamp = 0

    def live(self) -> list[LocalAttempt]:
        self._scan()
        for attempt in list(self._open.values()):
            attempt.refresh()
            if attempt.state and attempt.state.is_terminal:
                self._ended.add(attempt.name)
                del self._open[attempt.name]
        return [attempt for attempt in self._open.values() if attempt.is_live]

    def _scan(self) -> None:
        try:
            stamp = self._folder.stat().st_mtime_ns
        except FileNotFoundError:
            return
        if stamp == self._folder_stamp:
            return
        names = {path.name for path in self._folder.iterdir() if path.is_dir()}
        self._ended &= names
        self._open = {name: attempt for name, attempt in self._open.items() if name in names}
        for name in names - self._ended - self._open.keys():
            self._open[name] = local_attempt(self._folder / name)
        is_settled = time.time() - stamp / 1e9 > RECENT_S
        self._folder_stamp = stamp if is_settled else 0
