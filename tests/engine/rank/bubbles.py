"""Pipelines of sleeping stages with their measured bubble."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from engine.telemetry.metrics import STEP_PHASES
from tests.engine.rank.attempts import Attempt, Forker, tiny, write_attempt

STEPS = 6


class Bubble(NamedTuple):
    """Shares of the step as means over the stages, in the step with the least disturbance by the host."""

    measured: float
    ideal: float
    communication: float

    @property
    def error(self) -> float:
        return abs(self.measured - self.ideal) / self.ideal


@contextmanager
def sleeping_forker() -> Iterator[Forker]:
    forker = Forker(module="tests.engine.rank.sleepers")
    try:
        yield forker
    finally:
        forker.close()


def measure_bubble(forker: Forker, folder: Path, stages: int, micro_batches: int) -> Bubble:
    spec = tiny(
        model={"layers": 4},
        parallel={"stages": stages, "zero_stage": 0},
        batch={"global_batch_size": micro_batches, "micro_batch_size": 1},
        budget={"steps": STEPS},
    )
    attempt = forker.start(
        write_attempt(folder / f"{stages}-{micro_batches}", spec, folder / "data")
    ).succeeded()
    ranks = [_shares(attempt, rank) for rank in range(stages)]
    fastest = min(range(2, STEPS + 1), key=lambda step: ranks[0][step]["step_s"])
    bubble, communication = (
        statistics.mean(rank[fastest][name] for rank in ranks) for name in ("bubble_s", "communication_s")
    )
    return Bubble(bubble, (stages - 1) / (micro_batches + stages - 1), communication)


def _shares(attempt: Attempt, rank: int) -> dict[int, dict[str, float]]:
    """Return step -> phase -> share of the step; step_s is in seconds."""
    found = {}
    for line in attempt.lines("step", f"rank{rank}", rank):
        seconds = {name: float(line.metrics[name]) for name in STEP_PHASES if name in line.metrics}
        step_s = sum(seconds.values())
        found[line.step or 0] = {name: value / step_s for name, value in seconds.items()} | {"step_s": step_s}
    return found
