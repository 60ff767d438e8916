"""Model of a step, from what its ranks did.

Without a pipeline a step lasts as long as its slowest rank computes, plus the transfer that no rank can escape. With
one it lasts the sum of the stage times + (m - 1) x the slowest stage time, each for one micro-batch. A loss rule takes
one resource away and asks the model again; the difference is its share.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from engine.verdict.facts import Facts, Floats, RankFacts

HOST_PHASES = ("other_s", "host_gap_s")
COMPUTE_PHASES = ("forward_s", "backward_s", "optimiser_s")
LOCAL_PHASES = ("data_wait_s", *HOST_PHASES, *COMPUTE_PHASES)


@dataclass(frozen=True)
class Slowest:
    """The slowest rank or stage: its time over the mean, and the share of the steps in which it is the slowest."""

    kind: str  # rank or stage
    number: int
    ratio: float
    steps_share: float


class StepModel:
    """Times of a step in seconds; arrays are [rank, step] or [step]. Needs at least one step and one rank."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.step_s = float(facts.step_s.mean())
        self.is_pipeline = facts.stages > 1
        self.has_bubble_phase = any("bubble_s" in rank.phases for rank in facts.ranks)
        self._ranks = facts.ranks
        self._stages = sorted({rank.stage for rank in facts.ranks})

    @cached_property
    def compute_s(self) -> float:
        return self.get_mean(*COMPUTE_PHASES)

    @cached_property
    def host_s(self) -> float:
        return self.get_mean(*HOST_PHASES)

    @cached_property
    def unaccounted_s(self) -> float:
        """Time of the step outside all phases, mean over the ranks."""
        recorded = self.sum(*LOCAL_PHASES, "communication_s", "bubble_s").mean(axis=0)
        return max(0.0, float((self.facts.step_s - recorded).mean()))

    @cached_property
    def fed(self) -> Floats:
        """Local time without any data wait, [rank, step]."""
        return self.sum(*HOST_PHASES, *COMPUTE_PHASES)

    @cached_property
    def recorded_time(self) -> Floats:
        """The step as recorded, without any transfer, [step]."""
        return self.get_time(self.sum(*LOCAL_PHASES))

    @cached_property
    def fed_time(self) -> Floats:
        """The step without any data wait, [step]."""
        return self.get_time(self.fed)

    @cached_property
    def balanced_time(self) -> Floats:
        """The step without any data wait in which all ranks take the mean time, [step]."""
        mean = self.fed.mean(axis=0)
        return self.get_time(np.broadcast_to(mean, self.fed.shape).copy())

    def get_mean(self, *phases: str) -> float:
        """Seconds of a step in these phases together, mean over the ranks."""
        return float(self.sum(*phases).mean())

    def sum(self, *phases: str) -> Floats:
        """Seconds of these phases together, [rank, step]."""
        zeros = np.zeros(self.facts.num_steps)
        rows = [np.sum([rank.phases.get(name, zeros) for name in phases], axis=0) for rank in self._ranks]
        return np.array(rows, dtype=float)

    def get_time(self, local: Floats) -> Floats:
        """The time of each step without any transfer, [step], from the local time [rank, step]."""
        if not self.is_pipeline:
            return np.asarray(local.max(axis=0))
        updates = np.minimum(self.sum("optimiser_s"), local)
        busy, m = local - updates, self.facts.micro_batches
        pipelines = []
        for is_member in self._get_copies():
            stages = np.array([busy[self._find(stage, is_member)].mean(axis=0) for stage in self._stages])
            missing = self.facts.stages - len(
                stages
            )  # stages without records count as the mean of the others
            total = stages.sum(axis=0) + missing * stages.mean(axis=0)
            pipelines.append((total + (m - 1) * stages.max(axis=0)) / m)
        return np.asarray(np.max(pipelines, axis=0) + updates.max(axis=0))

    @cached_property
    def transfer_s(self) -> float:
        """Least wait of the ranks in the same collectives, step by step: the time that no rank escapes. A rank that
        waits longer waits for slower ranks."""
        waits = self.sum("communication_s")
        groups: list[list[int]] = [list(range(len(self._ranks)))]
        if self.is_pipeline:
            groups = [self._find(stage) for stage in self._stages]
        return float(np.mean([waits[group].min(axis=0).mean() for group in groups]))

    @cached_property
    def slowest(self) -> Slowest | None:
        """By local time without data wait; None with fewer than two ranks or stages."""
        if len(self._ranks) < 2:
            return None
        if self.is_pipeline:
            rows = [self.fed[self._find(stage)].mean(axis=0) for stage in self._stages]
            numbers = self._stages
        else:
            rows, numbers = list(self.fed), [rank.rank for rank in self._ranks]
        if len(rows) < 2:
            return None
        times = np.array(rows)
        means = times.mean(axis=1)
        index = int(means.argmax())
        return Slowest(
            kind="stage" if self.is_pipeline else "rank",
            number=numbers[index],
            ratio=float(means[index] / means.mean()) if means.mean() > 0 else 1.0,
            steps_share=float((times.argmax(axis=0) == index).mean()),
        )

    def _get_copies(self) -> list[Callable[[RankFacts], bool]]:
        """One predicate per copy of the model: whether a rank belongs to it."""
        numbers = sorted({rank.data_rank for rank in self._ranks})
        return [lambda rank, number=number: rank.data_rank == number for number in numbers]  # type: ignore[misc]

    def _find(self, stage: int, is_member: Callable[[RankFacts], bool] | None = None) -> list[int]:
        """Indices of the stage's ranks in one copy of the model; of all copies if this one has no record of it."""
        indices = [n for n, rank in enumerate(self._ranks) if rank.stage == stage]
        members = [n for n in indices if is_member is None or is_member(self._ranks[n])]
        return members or indices
