"""Rank program of the chaos tests: no torch, almost no CPU time, and the files of a real rank.

    python fake_rank.py JOURNAL_DIR ATTEMPT_DIR RANK

It steps, reports, saves checkpoints, resumes and stops at a step boundary. A gang makes each step together,
on any number of nodes, and agrees at its boundary whether to stop, like real ranks. It also records device
use without our tables and locks: while it lives it holds a lock of its own on JOURNAL_DIR/<device>.use, and
it appends its actions to JOURNAL_DIR/<device>.jsonl, with the monotonic clock. It uses only the standard
library, to start in a few hundredths of a second.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import struct
import sys
import time
from pathlib import Path
from typing import Any

STEP_S = 0.25
CHECKPOINT_EVERY = 4
EXIT_STOPPED = 75
EXIT_OVERLAP = 3
POLL_S = 0.03


class Barrier:
    """Barrier of an attempt's ranks: a file with one slot per rank, whose lock shows that the rank is alive."""

    SLOT = struct.Struct("<qq")  # 1 + steps done, or 0 before the start; 1 + the step at which to stop, or 0

    def __init__(self, path: Path, rank: int, size: int) -> None:
        path.parent.mkdir(exist_ok=True)
        self.rank, self.size, self.stop_at = rank, size, 0
        self.file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.lockf(self.file, fcntl.LOCK_EX, self.SLOT.size, rank * self.SLOT.size)

    def wait_and_check_stop(self, step: int, is_requested: bool) -> bool:
        """Wait until every rank has made `step`, and return the same decision on all of them.

        Raises ConnectionError if a rank is dead.
        """
        if is_requested and not self.stop_at:
            self.stop_at = 1 + step
        os.pwrite(self.file, self.SLOT.pack(1 + step, self.stop_at), self.rank * self.SLOT.size)
        while late := [rank for rank, (done, _) in enumerate(self.slots()) if done < 1 + step]:
            for rank in late:
                if self.slots()[rank][0] and self.is_dead(rank) and self.slots()[rank][0] < 1 + step:
                    raise ConnectionError(f"Connection closed by peer (rank {rank})")
            time.sleep(POLL_S)
        return any(0 < stop_at <= 1 + step for _, stop_at in self.slots())

    def slots(self) -> list[tuple[int, ...]]:
        content = os.pread(self.file, self.size * self.SLOT.size, 0).ljust(self.size * self.SLOT.size, b"\0")
        return list(self.SLOT.iter_unpack(content))

    def is_dead(self, rank: int) -> bool:
        where = (self.SLOT.size, rank * self.SLOT.size)
        try:
            fcntl.lockf(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB, *where)
        except OSError:
            return False
        fcntl.lockf(self.file, fcntl.LOCK_UN, *where)
        return True


class FakeRank:
    def __init__(self, journal: Path, attempt: Path, rank: int) -> None:
        self.attempt, self.rank = attempt, rank
        self.placement = json.loads((attempt / "placement.json").read_bytes())
        self.device = next(seat["device"] for seat in self.placement["seats"] if seat["rank"] == rank)
        self.num_steps = json.loads((attempt / "spec.json").read_bytes())["budget"]["steps"]
        self.journal, self.lock_path = journal / f"{self.device}.jsonl", journal / f"{self.device}.use"
        self.barrier_path = journal / "meetings" / f"{self.placement['job']}-{self.placement['attempt']}"
        self.is_stop_requested = False
        signal.signal(signal.SIGTERM, self.stop)

    def run(self) -> int:
        if not self.acquire_device_lock():
            self.write_journal("overlap")
            return EXIT_OVERLAP
        step = self.resumed_from()
        self.write_journal("begin", step=step)
        barrier = Barrier(self.barrier_path, self.rank, self.placement["world_size"])
        while not barrier.wait_and_check_stop(step, self.is_stop_requested) and step < self.num_steps:
            time.sleep(STEP_S)
            step += 1
            self.write_journal("step", step=step)
            self.report("step", step=step, metrics={"loss": 10.0 / step, "tokens": 256.0 * step})
            if step % CHECKPOINT_EVERY == 0:
                self.save(step)
        if step < self.num_steps:
            self.save(step)
        self.report(
            "result", text="stopped at a step boundary" if step < self.num_steps else "all steps done"
        )
        self.write_journal("end", step=step)
        return EXIT_STOPPED if step < self.num_steps else 0

    def acquire_device_lock(self) -> bool:
        """Lock the device; return False if another process uses it.

        The lock has descriptor 0: a dying process closes its files in order, so this lock is released before
        the device's own lock, which is inherited and has a higher number.
        """
        descriptor = os.open(self.lock_path, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(descriptor, 0)
        os.close(descriptor)
        try:
            fcntl.flock(0, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def resumed_from(self) -> int:
        return int((self.placement["resume_from"] or "-0").rpartition("-")[2])

    def write_journal(self, what: str, **more: Any) -> None:
        line = {"what": what, "t": time.monotonic(), "job": self.placement["job"], "attempt": self.placement["attempt"],
                "rank": self.rank, "world_size": self.placement["world_size"], "pid": os.getpid(), **more}  # fmt: skip
        append(self.journal, line)

    def report(self, kind: str, **more: Any) -> None:
        if self.rank == 0:
            append(
                self.attempt / "spool" / "rank0.jsonl",
                {"k": kind, "at": time.time(), "source": "run", **more},
            )

    def save(self, step: int) -> None:
        folder = self.attempt / "checkpoints" / f"step-{step:08d}"
        if self.rank or folder.exists():
            return
        scratch = folder.with_name(f".saving-{folder.name}")
        scratch.mkdir(parents=True, exist_ok=True)
        (scratch / "manifest.json").write_text(
            json.dumps({"format": 2, "step": step, "files": {}, "spec": {}, "layout": {}})
        )
        os.rename(scratch, folder)
        self.report("checkpoint", step=step, text=folder.name, seconds=0.0)

    def stop(self, *_: object) -> None:
        self.is_stop_requested = True


def append(path: Path, line: dict[str, Any]) -> None:
    """Append one line with one write, since several processes may append to the file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, json.dumps(line).encode() + b"\n")
    os.close(descriptor)


if __name__ == "__main__":
    sys.exit(FakeRank(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])).run())
