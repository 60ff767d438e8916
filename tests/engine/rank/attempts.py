"""Real gloo ranks for tests: attempt directories, and a process that forks ranks."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engine.directory import AttemptDirectory, Placement, RankSeat
from engine.spec import grid
from engine.spec.spec import Spec, parse
from engine.telemetry import wire

ROOT = Path(__file__).resolve().parents[3]
ATTEMPT_LIMIT_S = 110

# Small enough that a step of two ranks takes some milliseconds.
TINY: dict[str, dict[str, Any]] = {
    "model": {"layers": 2, "width": 32, "heads": 2, "ffn_width": 64, "context": 16},
    "data": {"tokenizer": "bytes", "validation_share": 0.002},  # a validation also takes some milliseconds
    "batch": {"global_batch_size": 8, "micro_batch_size": 2},
    "parallel": {"data": 1, "stages": 1, "zero_stage": 0},
    "precision": {"dtype": "fp32"},
    "optimiser": {"warmup_steps": 2, "learning_rate": 3e-3},
    "budget": {"steps": 50, "validate_every": 0, "checkpoint_every": 0},
}


def tiny(**parts: dict[str, Any]) -> Spec:
    """Return the tiny spec with some fields changed: tiny(parallel={"data": 2})."""
    return parse(TINY | {name: TINY.get(name, {}) | values for name, values in parts.items()})


def write_attempt(
    folder: Path, spec: Spec, data_dir: Path, resume_from: Path | None = None, kind: str = "cpu",
    start_from: Path | None = None,
) -> AttemptDirectory:  # fmt: skip
    directory = AttemptDirectory(folder)
    seats = tuple(
        RankSeat(r, r, f"cpu-test-{r}", kind, r, place.data_rank, place.stage, place.tensor_rank)
        for r, place in enumerate(grid.rank_coordinates(spec.parallel))
    )
    placement = Placement(
        job="job", run="run", attempt=1, node="node", world_size=len(seats), master_addr="127.0.0.1", master_port=0,
        seats=seats, threads_per_rank=1, lock_dir=str(data_dir / "locks"), data_dir=str(data_dir),
        corpus_root=str(data_dir), resume_from=str(resume_from) if resume_from else None,
        start_from=str(start_from) if start_from else None,
    )  # fmt: skip
    directory.create(spec, placement, {}, time.time() + 3600)
    return directory


class Attempt:
    """Running or ended ranks of an attempt, with their spool lines and logs."""

    def __init__(self, directory: AttemptDirectory, pids: list[int], finish: Callable[[], list[int]]) -> None:
        self.directory, self.pids, self._finish = directory, pids, finish
        self._exit_codes: list[int] | None = None

    @property
    def exit_codes(self) -> list[int]:
        """Exit codes in the order of ranks; waits for all of them."""
        if self._exit_codes is None:
            self._exit_codes = self._finish()
        return self._exit_codes

    def lines(self, kind: str, source: str = "run", rank: int = 0) -> list[wire.SpoolLine]:
        spool = self.directory.spool / f"rank{rank}.jsonl"
        text = spool.read_bytes() if spool.exists() else b""
        lines = [wire.decode(line) for line in text.splitlines()]
        return [line for line in lines if line.k == kind and line.source == source]

    def series(self, metric: str, source: str = "run", rank: int = 0) -> dict[int, float]:
        lines = self.lines("step", source, rank)
        return {line.step: wire.number(line.metrics[metric]) for line in lines if metric in line.metrics}  # type: ignore[misc]

    def log(self, rank: int = 0) -> str:
        return (self.directory.log / f"rank{rank}.log").read_text()

    def succeeded(self) -> Attempt:
        assert set(self.exit_codes) == {0}, "\n".join(
            self.log(r)[-3000:] for r in range(len(self.exit_codes))
        )
        return self

    def wait_for_step(self, step: int) -> None:
        until(lambda: step in self.series("loss"), f"step {step}")

    def end(self) -> None:
        """Kill the ranks unless they have been waited for; a failed test may not have waited."""
        if self._exit_codes is None:
            for pid in self.pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._exit_codes = self._finish()

    def stop(self) -> None:
        for pid in self.pids:
            os.kill(pid, signal.SIGTERM)


def until(condition: Callable[[], object], what: str, limit_s: float = 30) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come about in {limit_s} s"
        time.sleep(0.01)


class Forker:
    """Client of tests.engine.rank.forker, or of another `module` like it, which has imported torch and deepspeed."""

    def __init__(
        self, environment: Mapping[str, str] | None = None, module: str = "tests.engine.rank.forker"
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module], cwd=ROOT, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, env=os.environ | dict(environment or {}),
        )  # fmt: skip
        self._last: Attempt | None = None
        assert self._answer(60) == "ready"

    def start(self, directory: AttemptDirectory) -> Attempt:
        assert self._process.stdin
        if self._last:
            self._last.end()
        self._process.stdin.write(f"{directory.path}\n".encode())
        self._process.stdin.flush()
        self._last = Attempt(directory, self._answer(10), lambda: self._answer(ATTEMPT_LIMIT_S + 10))
        return self._last

    def _answer(self, limit_s: float) -> Any:
        assert self._process.stdout
        ready, _, _ = select.select([self._process.stdout], [], [], limit_s)
        assert ready, "the forking process does not answer"
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(10)
