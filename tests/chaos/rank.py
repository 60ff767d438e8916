"""The rank program of the chaos suite: no torch, next to no CPU, but a whole rank to everybody outside.

`python rank.py JOURNAL_DIR ATTEMPT_DIR RANK` steps, reports, saves checkpoints, resumes and stops at a step border. A
gang makes each step together, on however many nodes, and agrees at its border whether to stop, as real ranks do.
Beside that it bears witness, knowing nothing of our tables and locks: as long as it lives it holds a lock of its own
on JOURNAL_DIR/<device>.use, and it appends what it does to JOURNAL_DIR/<device>.jsonl, by the monotonic clock.
Only the standard library: it starts in a few hundredths of a second.
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
LOOK_S = 0.03


class Meeting:
    """Where the ranks of an attempt wait for each other: a file with one slot a rank, whose lock says that it lives."""

    SLOT = struct.Struct(
        "<qq"
    )  # 1 + steps done, 0 before it has come; 1 + the step at which it wants to stop, or 0

    def __init__(self, path: Path, rank: int, size: int) -> None:
        path.parent.mkdir(exist_ok=True)
        self.rank, self.size, self.stop_at = rank, size, 0
        self.file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.lockf(self.file, fcntl.LOCK_EX, self.SLOT.size, rank * self.SLOT.size)

    def shall_stop(self, step: int, is_told: bool) -> bool:
        """Once every rank has made `step`: the same answer on all of them. Raises ConnectionError when one is dead."""
        if is_told and not self.stop_at:
            self.stop_at = 1 + step
        os.pwrite(self.file, self.SLOT.pack(1 + step, self.stop_at), self.rank * self.SLOT.size)
        while late := [rank for rank, (done, _) in enumerate(self.slots()) if done < 1 + step]:
            for rank in late:
                if self.slots()[rank][0] and self.is_dead(rank) and self.slots()[rank][0] < 1 + step:
                    raise ConnectionError(f"Connection closed by peer (rank {rank})")
            time.sleep(LOOK_S)
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


class Rank:
    def __init__(self, journal: Path, attempt: Path, rank: int) -> None:
        self.attempt, self.rank = attempt, rank
        self.placement = json.loads((attempt / "placement.json").read_bytes())
        self.device = next(seat["device"] for seat in self.placement["seats"] if seat["rank"] == rank)
        self.num_steps = json.loads((attempt / "spec.json").read_bytes())["budget"]["steps"]
        self.journal, self.use = journal / f"{self.device}.jsonl", journal / f"{self.device}.use"
        self.meeting = journal / "meetings" / f"{self.placement['job']}-{self.placement['attempt']}"
        self.is_told_to_stop = False
        signal.signal(signal.SIGTERM, self.stop)

    def run(self) -> int:
        if not self.bear_witness():
            self.note("overlap")
            return EXIT_OVERLAP
        step = self.resumed_from()
        self.note("begin", step=step)
        gang = Meeting(self.meeting, self.rank, self.placement["world_size"])
        while not gang.shall_stop(step, self.is_told_to_stop) and step < self.num_steps:
            time.sleep(STEP_S)
            step += 1
            self.note("step", step=step)
            self.report("step", step=step, metrics={"loss": 10.0 / step, "tokens": 256.0 * step})
            if step % CHECKPOINT_EVERY == 0:
                self.save(step)
        if step < self.num_steps:
            self.save(step)
        self.report("result", text="stopped at a step border" if step < self.num_steps else "all steps done")
        self.note("end", step=step)
        return EXIT_STOPPED if step < self.num_steps else 0

    def bear_witness(self) -> bool:
        """False: another process uses the device now. The lock takes descriptor 0: a dying process closes its files in
        order, so this lock is free before the device's own, which came by inheritance and a higher number."""
        descriptor = os.open(self.use, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(descriptor, 0)
        os.close(descriptor)
        try:
            fcntl.flock(0, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def resumed_from(self) -> int:
        return int((self.placement["resume_from"] or "-0").rpartition("-")[2])

    def note(self, what: str, **more: Any) -> None:
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
        aside = folder.with_name(f".saving-{folder.name}")
        aside.mkdir(parents=True, exist_ok=True)
        (aside / "manifest.json").write_text(json.dumps({"format": 1, "step": step, "files": {}}))
        os.rename(aside, folder)
        self.report("checkpoint", step=step, text=folder.name, seconds=0.0)

    def stop(self, *_: object) -> None:
        self.is_told_to_stop = True


def append(path: Path, line: dict[str, Any]) -> None:
    """One write of one line: several processes may append to the file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, json.dumps(line).encode() + b"\n")
    os.close(descriptor)


if __name__ == "__main__":
    sys.exit(Rank(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])).run())
