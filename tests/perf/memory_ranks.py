"""Ranks that record the peak memory of their steps, forked like those of tests.engine.rank.forker.

The resident memory follows live memory: with a fixed malloc threshold every tensor has pages of its own,
which are returned on release, and `clear_refs` resets the kernel's high-water mark. The profiler's memory
events would be finer, but miss what gloo's threads release (2 of 5 model sizes on one rank).
"""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.directory import AttemptDirectory
from tests.engine.rank import forker

M_MMAP_THRESHOLD = -3
OWN_PAGES_BYTES = 16 * 1024
ATTEMPT_LIMIT_S = 300  # for a busy machine
FIRST_STEP = 2  # the optimiser's state exists from here on


def main() -> None:
    preload = forker.preload

    def preload_and_measure(kind: str) -> None:
        preload(kind)
        _measure_ranks()

    forker.preload = preload_and_measure
    forker.ATTEMPT_LIMIT_S = ATTEMPT_LIMIT_S
    forker.main()


def _measure_ranks() -> None:
    import engine.rank.measure.breakdown
    import engine.rank.run.loop
    import engine.rank.run.start
    import engine.rank.train.engine

    run_rank, take_step = engine.rank.run.start.run_rank, engine.rank.run.loop.take_step
    build, phase_of = engine.rank.run.start.build_engine, engine.rank.measure.breakdown.Breakdown.phase
    # A rank clears its environment, so the settings are read before it is forked.
    only_time, with_saves = ("ONLY_TIME" in os.environ, "WITH_SAVES" in os.environ)
    found: dict[str, int] = {}
    highest: dict[str, int] = {}
    steps = 0

    def noted(name: str, value: int) -> None:
        highest[name] = max(highest.get(name, 0), value)

    def built(*args: Any) -> Any:
        found["baseline_bytes"] = _status("VmRSS")
        _reset()
        engine = build(*args)
        found["building_bytes"] = _status("VmHWM")
        return engine

    def measured_step(*args: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == FIRST_STEP + 1:
            found["resting_bytes"] = _status("VmRSS")
            highest.clear()
            _reset()
        step_sync = take_step(*args)
        noted("other_s", _status("VmHWM"))
        return step_sync

    @contextmanager
    def measured_phase(self: Any, name: str, *more: Any) -> Iterator[None]:
        noted("other_s", _status("VmHWM"))
        _reset()
        with phase_of(self, name, *more):
            yield
        noted(name, _status("VmHWM"))
        _reset()

    def measured(directory: AttemptDirectory, rank: int, began: float) -> int:
        if not only_time:
            engine.rank.run.start.build_engine = built
            engine.rank.run.loop.take_step = measured_step
            engine.rank.measure.breakdown.Breakdown.phase = measured_phase
        if not with_saves:  # only steps are measured
            engine.rank.run.loop._save = lambda *_, **__: None
        code = run_rank(directory, rank, began)
        if with_saves:
            noted("last_save", _status("VmHWM"))
        (directory.path / f"memory{rank}.json").write_text(json.dumps(found | {"phases": highest}))
        return code

    engine.rank.run.start.run_rank = measured
    if bucket := os.environ.get("BUCKET_ELEMENTS"):
        engine.rank.train.engine.BUCKET_ELEMENTS = int(bucket)
    if os.environ.get("OWN_PAGES"):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, OWN_PAGES_BYTES)


def _reset() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _status(name: str) -> int:
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
