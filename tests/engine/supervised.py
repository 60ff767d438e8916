"""Attempts with shell scripts as ranks under the real supervisor."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from engine.directory import AttemptDirectory, Placement, RankSeat, SupervisorState
from engine.spec.spec import parse
from engine.telemetry import wire
from fourwalls.system import procfs

ROOT = Path(__file__).resolve().parents[2]
STEP_UNTIL_STOPPED = 'trap "exit 75" TERM; touch "$DIR/ready$RANK"; while :; do sleep 0.02; done'


def until(condition: Callable[[], object], what: str = "the condition", timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come about in {timeout_s} s"
        time.sleep(0.02)


class Supervised:
    """One attempt directory; `script` runs once per rank with $DIR and $RANK set."""

    def __init__(
        self,
        folder: Path,
        script: str,
        ranks: int = 2,
        name: str = "attempt",
        devices: tuple[str, ...] = ("cpu-test-0", "cpu-test-1"),
        lease_s: float = 3600,
        port: int = 0,
        kind: str = "cpu",
        environment: dict[str, str] | None = None,
    ) -> None:
        self.directory = AttemptDirectory(folder / name)
        self.environment = environment or {}
        self.trainer = folder / f"{name}-trainer"
        self.trainer.write_text(f'#!/bin/sh\nDIR="$3"; RANK="$4"\n{script}\n')
        self.trainer.chmod(0o700)
        seats = tuple(RankSeat(r, r, devices[r], kind, r, r, 0) for r in range(ranks))
        self.placement = Placement(
            job="job", run="run", attempt=1, node="node", world_size=ranks, master_addr="127.0.0.1", master_port=port,
            seats=seats, threads_per_rank=1, lock_dir=str(folder / "locks"), data_dir=str(folder / "data"),
            corpus_root=str(folder),
        )  # fmt: skip
        self.directory.create(parse({}), self.placement, {}, time.time() + lease_s)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Supervised:
        environment = os.environ | {"TRAINER_PYTHON": str(self.trainer)} | self.environment
        self.process = subprocess.Popen(
            [sys.executable, "-m", "engine.supervisor", str(self.directory.path)],
            cwd=ROOT,
            env=environment,
        )
        return self

    def ready(self) -> Supervised:
        """Wait until every rank has written its ready file and the supervisor's state is running."""
        paths = [self.path(f"ready{seat.rank}") for seat in self.placement.seats]
        until(lambda: all(path.exists() for path in paths) and self.state.state == "running", "a start")
        return self

    def end(self) -> SupervisorState:
        assert self.process is not None
        self.process.wait(timeout=60)
        return self.state

    def path(self, name: str) -> Path:
        return self.directory.path / name

    @property
    def state(self) -> SupervisorState:
        state = self.directory.read_state()
        assert state is not None
        return state

    @property
    def pids(self) -> list[int]:
        return [rank.pid for rank in self.state.ranks]

    @property
    def lines(self) -> list[wire.SpoolLine]:
        return [
            wire.decode(line)
            for line in (self.directory.spool / "supervisor.jsonl").read_bytes().splitlines()
        ]

    def are_gone(self) -> bool:
        return all(procfs.stat(pid) is None for pid in self.pids)

    def kill(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
