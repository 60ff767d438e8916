"""Alternate saves of one rank: DeepSpeed's own, which blocks training, and ours, which blocks for a copy."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from engine.checkpoints.folder import fsync_path
from engine.directory import AttemptDirectory
from engine.model_math import counts
from engine.rank.run.loop import build_training_batches
from engine.rank.run.start import open_session
from engine.supervisor.environment import free_port

ROUNDS = 7


def main() -> None:
    os.environ["MASTER_PORT"] = str(free_port("127.0.0.1"))
    session = open_session(AttemptDirectory(Path(sys.argv[1])), 0, time.perf_counter())
    source = build_training_batches(session)
    session.trainer.step(source, 0)  # the optimiser's state comes with the first step
    found: dict[str, list[float]] = {"deepspeed": [], "ours_block": [], "ours_whole": []}
    theirs = session.directory.path / "theirs"
    for turn in range(1, ROUNDS + 1):
        start = time.perf_counter()
        session.engine.save_checkpoint(str(theirs), tag="state", save_latest=False)
        for path in theirs.rglob("*"):  # as safe as ours: on the disk before training goes on
            fsync_path(path)
        found["deepspeed"].append(time.perf_counter() - start)
        shutil.rmtree(theirs)
        start = time.perf_counter()
        session.saver.begin(turn, None)
        found["ours_block"].append(time.perf_counter() - start)
        session.saver.wait()
        found["ours_whole"].append(time.perf_counter() - start)
    newest = session.directory.newest_checkpoint()
    assert newest
    result: dict[str, Any] = {name: statistics.median(values[1:]) for name, values in found.items()}
    result["bytes"] = sum(path.stat().st_size for path in newest.iterdir())
    result["parameters"] = counts.parameters(session.spec)
    sys.stderr.write(f"RESULT {json.dumps(result)}\n")


if __name__ == "__main__":
    main()
