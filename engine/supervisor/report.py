"""What a supervisor tells the world: state.json, and its lines in the spool."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from engine import procfs
from engine.directory import AttemptDirectory, AttemptState, Cause, RankExit, State
from engine.supervisor.root_cause import tail_of
from engine.telemetry.spool import SpoolWriter
from engine.telemetry.wire import SpoolLine, decode

BEAT_S = 2.0
ENDING_TRIES = 30


class Report:
    """Writes on every change and every two seconds. A full disk is waited out: it never costs a rank."""

    def __init__(self, directory: AttemptDirectory, sleep: Callable[[float], None] = time.sleep) -> None:
        self._directory = directory
        self._sleep = sleep
        self._spool = SpoolWriter(directory.spool / "supervisor.jsonl")
        found = procfs.stat(os.getpid())
        started_ticks = found.started_ticks if found else 0.0
        self.state = State(
            state="starting",
            pid=os.getpid(),
            pid_started=started_ticks,
            started_at=procfs.started_at(started_ticks),
            updated_at=time.time(),
        )
        self._written_at = float("-inf")
        self._write()

    def ranks(self, ranks: tuple[RankExit, ...]) -> None:
        if ranks != self.state.ranks:
            self._change(ranks=ranks)

    def armed(self, master_port: int) -> None:
        """The devices are held; the other nodes of the attempt are waited for."""
        self._change(state="armed", master_port=master_port)

    def running(self) -> None:
        """All ranks are spawned: ends the phase 'starting', which began with this process."""
        self._change(state="running")
        seconds = max(0.0, time.time() - self.state.started_at)
        self._spool.write([SpoolLine("phase", time.time(), "run", text="starting", seconds=seconds)])

    def note(self, text: str, level: Literal["info", "warning", "error"] = "info") -> None:
        self._spool.write([SpoolLine("note", time.time(), "run", text=text, level=level)])

    def beat(self) -> bool:
        """Write when it is time to; True when it was."""
        if time.monotonic() - self._written_at < BEAT_S:
            return False
        self._change()
        return True

    def end(
        self,
        state: AttemptState,
        reason: str,
        cause: Cause,
        stderr_tail: tuple[str, ...] = (),
        is_witness: bool = False,
    ) -> None:
        """The terminal state, tried again for half a minute on a full disk, since nobody else can write it."""
        self._change(
            state=state,
            reason=reason,
            cause=cause,
            stderr_tail=stderr_tail,
            is_witness=is_witness,
            ended_at=time.time(),
        )
        for _ in range(ENDING_TRIES):
            if self._written_at > float("-inf"):
                return
            self._sleep(1.0)
            self._change()

    def _change(self, **changes: Any) -> None:
        self.state = msgspec.structs.replace(self.state, updated_at=time.time(), **changes)
        self._write()

    def _write(self) -> None:
        try:
            self._directory.write_state(self.state)
            self._written_at = time.monotonic()
        except OSError:
            self._written_at = float("-inf")


def last_words(directory: AttemptDirectory, since: float) -> str:
    """What the ranks' own result line says of the end ('The time limit was reached ...'); '' without one."""
    results = [
        line
        for file in directory.spool.glob("rank*.jsonl")
        for text in tail_of(file, characters=None)
        if (line := _decoded(text)) and line.k == "result" and line.at >= since
    ]
    return max(results, key=lambda line: line.at).text if results else ""


def _decoded(text: str) -> SpoolLine | None:
    try:
        return decode(text.encode())
    except ValueError:
        return None
