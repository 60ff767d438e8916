"""Writer of state.json and of the supervisor's spool lines."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from engine.directory import AttemptDirectory, AttemptState, Cause, RankExit, SupervisorState
from engine.supervisor.root_cause import read_tail
from engine.telemetry.spool import SpoolWriter
from engine.telemetry.wire import SpoolLine, decode
from fourwalls.system import procfs

REFRESH_S = 2.0
END_RETRIES = 30


class StateWriter:
    """Writes the state on every change and every two seconds. A full disk never ends a rank."""

    def __init__(self, directory: AttemptDirectory, sleep: Callable[[float], None] = time.sleep) -> None:
        self._directory = directory
        self._sleep = sleep
        self._spool = SpoolWriter(directory.spool / "supervisor.jsonl")
        found = procfs.stat(os.getpid())
        started_ticks = found.started_ticks if found else 0.0
        self.state = SupervisorState(
            state="starting",
            pid=os.getpid(),
            pid_started=started_ticks,
            started_at=procfs.started_at(started_ticks),
            updated_at=time.time(),
        )
        self._written_at = float("-inf")
        self._write()

    def update_ranks(self, ranks: tuple[RankExit, ...]) -> None:
        if ranks != self.state.ranks:
            self._change(ranks=ranks)

    def set_prepared(self, master_port: int) -> None:
        """Record that the devices are locked and the supervisor waits for the other nodes of the attempt."""
        self._change(state="armed", master_port=master_port)

    def set_running(self) -> None:
        """Record that all ranks are spawned, which ends the phase 'starting' of this process."""
        self._change(state="running")
        seconds = max(0.0, time.time() - self.state.started_at)
        self._spool.write([SpoolLine("phase", time.time(), "run", text="starting", seconds=seconds)])

    def note(self, text: str, level: Literal["info", "warning", "error"] = "info") -> None:
        self._spool.write([SpoolLine("note", time.time(), "run", text=text, level=level)])

    def refresh(self) -> bool:
        """Write the state if the last write is older than REFRESH_S; return whether it was written."""
        if time.monotonic() - self._written_at < REFRESH_S:
            return False
        self._change()
        return True

    def end(
        self,
        state: AttemptState,
        reason: str,
        cause: Cause,
        stderr_tail: tuple[str, ...] = (),
        is_secondary_failure: bool = False,
    ) -> None:
        """Write the terminal state; on a full disk retry for half a minute, since only the supervisor can write it."""
        self._change(
            state=state,
            reason=reason,
            cause=cause,
            stderr_tail=stderr_tail,
            is_secondary_failure=is_secondary_failure,
            ended_at=time.time(),
        )
        for _ in range(END_RETRIES):
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


def last_result_text(directory: AttemptDirectory, since: float) -> str:
    """Return the text of the ranks' last result line ('The time limit was reached ...'), empty without one."""
    results = [
        line
        for file in directory.spool.glob("rank*.jsonl")
        for text in read_tail(file, characters=None)
        if (line := _decode_or_none(text)) and line.k == "result" and line.at >= since
    ]
    return max(results, key=lambda line: line.at).text if results else ""


def _decode_or_none(text: str) -> SpoolLine | None:
    try:
        return decode(text.encode())
    except ValueError:
        return None
