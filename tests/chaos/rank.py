"""The rank program of the chaos suite: no torch, next to no CPU, but a whole rank to everybody outside.

`python rank.py JOURNAL_DIR ATTEMPT_DIR RANK` steps, reports, saves checkpoints, resumes and stops at a step border.
Beside that it bears witness, knowing nothing of our tables and locks: as long as it lives it holds a lock of its own
on JOURNAL_DIR/<device>.use, and it appends what it does to JOURNAL_DIR/<device>.jsonl, by the monotonic clock.
Only the standard library: it starts in a few hundredths of a second.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

STEP_S = 0.25
CHECKPOINT_EVERY = 4
EXIT_STOPPED = 75
EXIT_OVERLAP = 3


class Rank:
    def __init__(self, journal: Path, attempt: Path, rank: int) -> None:
        self.attempt, self.rank = attempt, rank
        self.placement = json.loads((attempt / "placement.json").read_bytes())
        self.device = next(seat["device"] for seat in self.placement["seats"] if seat["rank"] == rank)
        self.num_steps = json.loads((attempt / "spec.json").read_bytes())["budget"]["steps"]
        self.journal, self.use = journal / f"{self.device}.jsonl", journal / f"{self.device}.use"
        self.is_told_to_stop = False
        signal.signal(signal.SIGTERM, self.stop)

    def run(self) -> int:
        if not self.bear_witness():
            self.note("overlap")
            return EXIT_OVERLAP
        step = self.resumed_from()
        self.note("begin", step=step)
        while step < self.num_steps and not self.is_told_to_stop:
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
