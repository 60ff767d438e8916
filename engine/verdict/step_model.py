"""Model of a step, from what its ranks did.

Without a pipeline a step lasts as long as its slowest rank computes, plus the transfer that no rank can escape. With
one it lasts the sum of the stage times + (m - 1) x the slowest stage time, each for one micro-batch. A loss rule takes
one resource away and asks the model again; the difference is its share.

Pressures on the host stretch all local phases: their part is taken out of these first. What the planner's costs of the
same step explain of the rest tells the fixed cost of micro-batches from arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from engine.verdict.explained import Explained, explain_step
from engine.verdict.facts import Facts, Floats, RankFacts
from engine.verdict.readings import get_active_share
from engine.verdict.stolen import CONTENDED, CORES, PRESSURES, StolenTime, find_stolen_time
from engine.verdict.thresholds import NOTABLE

HOST_PHASES = ("other_s", "host_gap_s")
PASS_PHASES = ("forward_s", "backward_s")
COMPUTE_PHASES = (*PASS_PHASES, "optimiser_s")
FED_PHASES = (*HOST_PHASES, *COMPUTE_PHASES)
LOCAL_PHASES = ("data_wait_s", *FED_PHASES)
IDLE_REACH = (
    1.3  # measured idle time of a pipeline over that of its stages, from which the rest has another cause
)
DOMINANT_UPDATE = 0.25  # share of the step
MANY_MICRO_BATCHES = 4
SLOW_TRANSFER = (
    2.0  # transfer time over that of the link, from which contention of the cores explains the rest
)


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
        self._ranks = facts.ranks if facts.world_size > 1 else tuple(map(_without_transfers, facts.ranks))
        self._stages = sorted({rank.stage for rank in facts.ranks})

    @cached_property
    def stolen(self) -> StolenTime:
        return find_stolen_time(self.facts, self._ranks, self._sum(*FED_PHASES))

    def get_pressure_s(self, pressure: str) -> float:
        """Seconds of a step that this pressure takes, after those before it."""
        index = PRESSURES.index(pressure)
        before, after = (self._get_time_without(PRESSURES[: index + n]) for n in (0, 1))
        seconds = float((before - after).mean())
        return seconds + self._contended_transfer_s if pressure == CORES else seconds

    def _get_time_without(self, pressures: Sequence[str]) -> Floats:
        kept = self.stolen.kept(pressures)[:, None] if pressures else 1.0
        return self.get_time(self._sum(*FED_PHASES) * kept + self._sum("data_wait_s"))

    @cached_property
    def is_contended(self) -> bool:
        return any(
            device.kind == "cpu" and device.means.get(CORES, 0.0) > CONTENDED for device in self.facts.devices
        )

    @cached_property
    def explained(self) -> Explained | None:
        """What the planner's step model explains; None if it cannot predict this spec."""
        phases = (*COMPUTE_PHASES, "other_s")
        measured = {name: self.get_mean(name) for name in phases}
        measured["communication_s"] = self.raw_transfer_s
        return explain_step(self.facts, measured)

    @cached_property
    def dispatch_s(self) -> float:
        """Fixed cost of all micro-batches but one: in forward and backward, between kernels, and between stages."""
        if (self.facts.unlimited_gain_share or 0.0) >= NOTABLE:  # memory refuses the larger micro-batch
            return 0.0
        seconds = self._repeated_dispatch_s + self.repeated_gaps_s + self.hand_over_s
        return seconds if seconds >= NOTABLE * self.step_s else 0.0

    @cached_property
    def _repeated_dispatch_s(self) -> float:
        if self.explained is None:
            return 0.0
        return min(self.get_mean(*PASS_PHASES), self.explained.repeated_s, self._idle_device_s)

    @property
    def _idle_device_s(self) -> float:
        """Most that launching operations can cost: on a GPU the time of the passes in which the device has no work."""
        passes_s = self.get_mean(*PASS_PHASES)
        if self.facts.on_cpu:
            return passes_s
        active = get_active_share(self.facts)
        if active is None:
            return passes_s if self.facts.profile is not None else 0.0
        return max(0.0, passes_s - active * self.step_s)

    @cached_property
    def repeated_gaps_s(self) -> float:
        """Gaps between kernels that come again with each micro-batch; of few, a gap of the whole step is as likely."""
        m = self.facts.micro_batches
        return self.get_mean("host_gap_s") * (m - 1) / m if m >= MANY_MICRO_BATCHES else 0.0

    @cached_property
    def hand_over_s(self) -> float:
        """Idle time of a pipeline beyond what its stages take: waits between the turns of micro-batches."""
        if not (self.is_pipeline and self.has_bubble_phase) or self.facts.micro_batches < 2:
            return 0.0
        rest = float((self.facts.step_s - self.recorded_time).mean()) - self.transfer_s - self.unaccounted_s
        return max(0.0, rest - (IDLE_REACH - 1) * max(0.0, self.formula_idle_s))

    @property
    def formula_idle_s(self) -> float:
        """Idle time while a pipeline of equal stages fills and empties."""
        updates = self.sum("optimiser_s")
        idle = self.balanced_time - self.fed.mean(axis=0) - updates.max(axis=0) + updates.mean(axis=0)
        return float(idle.mean())

    @cached_property
    def compute_s(self) -> float:
        """Forward, backward and update, without the fixed cost of micro-batches and an update that dominates the step,
        which are losses of their own."""
        dispatch = self._repeated_dispatch_s if self.dispatch_s else 0.0
        return self.get_mean(*COMPUTE_PHASES) - dispatch - self.update_loss_s

    @cached_property
    def update_loss_s(self) -> float:
        """The update where it dominates the step, or is offloaded and takes a notable part of it; else 0."""
        seconds = self.get_mean("optimiser_s")
        limit = NOTABLE if self.is_offloaded else DOMINANT_UPDATE
        return seconds if seconds >= limit * self.step_s else 0.0

    @property
    def is_offloaded(self) -> bool:
        parallel = self.facts.spec.get("parallel", {})
        return parallel.get("offload_optimiser", "none") != "none"

    @cached_property
    def host_s(self) -> float:
        return self.get_mean(*HOST_PHASES) - (self.repeated_gaps_s if self.dispatch_s else 0.0)

    @cached_property
    def unaccounted_s(self) -> float:
        """Time of the step outside all phases, mean over the ranks."""
        recorded = self._sum(*LOCAL_PHASES, "communication_s", "bubble_s").mean(axis=0)
        return max(0.0, float((self.facts.step_s - recorded).mean()))

    @cached_property
    def fed(self) -> Floats:
        """Local time without any data wait or pressure, [rank, step]."""
        return self.sum(*FED_PHASES)

    @cached_property
    def recorded_time(self) -> Floats:
        """The step as recorded, without any transfer, [step]."""
        return self.get_time(self._sum(*LOCAL_PHASES))

    @cached_property
    def waiting_time(self) -> Floats:
        """The step without any transfer or pressure, [step]."""
        return self._get_time_without(PRESSURES)

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
        """Seconds of a step in these phases together without pressures, mean over the ranks."""
        return float(self.sum(*phases).mean())

    def sum(self, *phases: str) -> Floats:
        """Seconds of these phases together, [rank, step]; the local ones without what pressures take."""
        local = self._sum(*(name for name in phases if name in FED_PHASES))
        rest = self._sum(*(name for name in phases if name not in FED_PHASES))
        return local * self.stolen.kept(PRESSURES)[:, None] + rest

    def _sum(self, *phases: str) -> Floats:
        zeros = np.zeros(self.facts.num_steps)
        rows = [
            np.sum([zeros, *(rank.phases.get(name, zeros) for name in phases)], axis=0)
            for rank in self._ranks
        ]
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
            # Stages without records count as the mean of the others.
            missing = self.facts.stages - len(stages)
            total = stages.sum(axis=0) + missing * stages.mean(axis=0)
            pipelines.append((total + (m - 1) * stages.max(axis=0)) / m)
        return np.asarray(np.max(pipelines, axis=0) + updates.max(axis=0))

    @cached_property
    def raw_transfer_s(self) -> float:
        """Least wait of the ranks in the same collectives, step by step: the time that no rank escapes. A rank that
        waits longer waits for slower ranks. One rank alone sends nothing."""
        waits = self._sum("communication_s")
        groups: list[list[int]] = [list(range(len(self._ranks)))]
        if self.is_pipeline:
            groups = [self._find(stage) for stage in self._stages]
        return float(np.mean([waits[group].min(axis=0).mean() for group in groups]))

    @cached_property
    def transfer_s(self) -> float:
        """The same without what is not the link's: on a contended host, more than it takes for the payload."""
        return self.raw_transfer_s - self._contended_transfer_s

    @cached_property
    def _contended_transfer_s(self) -> float:
        if not self.is_contended or self.explained is None or self.is_pipeline:
            return 0.0
        of_link = SLOW_TRANSFER * self.explained.predicted.phases["communication_s"]
        return max(0.0, self.raw_transfer_s - of_link)

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


def _without_transfers(rank: RankFacts) -> RankFacts:
    """One rank alone: its collectives with itself are work of the host."""
    phases = dict(rank.phases)
    own = phases.pop("communication_s", None)
    if own is not None:
        phases["other_s"] = phases["other_s"] + own if "other_s" in phases else own
    return replace(rank, phases=phases)
