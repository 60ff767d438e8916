"""Rank program without torch whose curve depends on every earlier step, and whose checkpoints hold real files.

    python curve_rank.py JOURNAL_DIR ATTEMPT_DIR RANK

The state is a hash chain: a rank that starts from other bytes than those of the newest checkpoint gives another curve.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

STEP_S = 0.05
CHECKPOINT_EVERY = 8
EXIT_STOPPED = 75
MODEL_BYTES = 2 * 1024**2 + 1
FIRST = b"step 0"


def next_state(state: bytes, step: int) -> bytes:
    return hashlib.sha256(state + str(step).encode()).digest()


def loss_of(state: bytes) -> float:
    return int.from_bytes(state[:6], "big") / 2**48


def read_checkpoint(folder: Path) -> bytes:
    """Return the state in a checkpoint; every byte of its files counts."""
    state = (folder / "state.bin").read_bytes()
    assert len(state) == 32
    for name, content in build_files(state).items():
        assert (folder / name).read_bytes() == content, name
    return state


def build_files(state: bytes) -> dict[str, bytes]:
    """Return the files of a checkpoint: several parts of a transfer, one empty, some in a folder."""
    return {
        "state.bin": state.ljust(32, b"."),
        "shards/model.bin": random.Random(state).randbytes(MODEL_BYTES),
        "shards/empty.bin": b"",
    }


class CurveRank:
    def __init__(self, attempt: Path) -> None:
        self.attempt = attempt
        placement = json.loads((attempt / "placement.json").read_bytes())
        self.source = Path(placement["resume_from"]) if placement["resume_from"] else None
        self.num_steps = json.loads((attempt / "spec.json").read_bytes())["budget"]["steps"]
        self.is_stop_requested = False
        signal.signal(signal.SIGTERM, self.stop)

    def run(self) -> int:
        state = read_checkpoint(self.source) if self.source else FIRST
        step = int(self.source.name.rpartition("-")[2]) if self.source else 0
        while step < self.num_steps and not self.is_stop_requested:
            time.sleep(STEP_S)
            step += 1
            state = next_state(state, step)
            self.report("step", step=step, metrics={"loss": loss_of(state)})
            if step % CHECKPOINT_EVERY == 0:
                self.save(step, state)
        is_over = step >= self.num_steps
        if not is_over:
            self.save(step, state)
        self.report("result", text="all steps done" if is_over else "stopped at a step boundary")
        return 0 if is_over else EXIT_STOPPED

    def save(self, step: int, state: bytes) -> None:
        folder = self.attempt / "checkpoints" / f"step-{step:08d}"
        if folder.exists():
            return
        scratch = folder.with_name(f".saving-{folder.name}")
        files = build_files(state)
        for name, content in files.items():
            (scratch / name).parent.mkdir(parents=True, exist_ok=True)
            (scratch / name).write_bytes(content)
        manifest = {
            "format": 2,
            "step": step,
            "files": {name: len(content) for name, content in files.items()},
            "spec": {},
            "layout": {},
        }
        (scratch / "manifest.json").write_text(json.dumps(manifest))
        os.rename(scratch, folder)
        self.report("checkpoint", step=step, text=folder.name, seconds=0.0)

    def report(self, kind: str, **more: Any) -> None:
        line = {"k": kind, "at": time.time(), "source": "run", **more}
        with (self.attempt / "spool" / "rank0.jsonl").open("ab", buffering=0) as spool:
            spool.write(json.dumps(line).encode() + b"\n")

    def stop(self, *_: object) -> None:
        self.is_stop_requested = True


if __name__ == "__main__":
    sys.exit(CurveRank(Path(sys.argv[2])).run())
