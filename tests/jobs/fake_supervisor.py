"""Fake supervisor that writes only files.

It needs no Django, so that a subprocess can use it too.
"""

from __future__ import annotations

import json
import os
import time

from engine.directory import AttemptDirectory, AttemptState, Cause, SupervisorState
from engine.telemetry.wire import SpoolLine, encode
from fourwalls.system import procfs

DEAD_PID = 2**22 + 1  # above the largest pid Linux gives out


def write_state(
    directory: AttemptDirectory,
    state: AttemptState,
    reason: str = "",
    *,
    pid: int | None = None,
    updated_at: float | None = None,
    stderr_tail: tuple[str, ...] = (),
    cause: Cause = "",
) -> None:
    """Write the state of a supervisor. By default its pid is this process, so it counts as alive."""
    pid = os.getpid() if pid is None else pid
    found = procfs.stat(pid)
    now = time.time()
    directory.write_state(
        SupervisorState(
            state=state,
            pid=pid,
            pid_started=found.started_ticks if found else 0.0,
            started_at=now,
            updated_at=now if updated_at is None else updated_at,
            reason=reason,
            cause=cause,
            stderr_tail=stderr_tail,
            ended_at=now if state in ("succeeded", "stopped", "failed") else None,
        )
    )


def write_spool(directory: AttemptDirectory, *lines: SpoolLine | bytes, file: str = "rank0.jsonl") -> None:
    """Append lines to a spool file; bytes are written unchanged."""
    with (directory.spool / file).open("ab") as spool:
        spool.write(b"".join(line if isinstance(line, bytes) else encode(line) for line in lines))


def step_line(number: int, loss: float | str = 2.0, at: float = 1000.0) -> SpoolLine:
    return SpoolLine(
        "step", at + number, "run", step=number, metrics={"loss": loss, "tokens": 256.0 * number}
    )


def make_checkpoint(directory: AttemptDirectory, number: int) -> SpoolLine:
    """Create a complete checkpoint on disk; returns its spool line."""
    folder = directory.checkpoints / f"step-{number:08d}"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(
        json.dumps({"format": 2, "step": number, "files": {}, "spec": {}, "layout": {}})
    )
    return SpoolLine("checkpoint", 1000.0 + number, "run", step=number, text=folder.name, seconds=0.5)
