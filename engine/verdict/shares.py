"""What each limit costs: the time of a step that would be saved if that one resource were free.

The step is modelled from what its ranks did: without a pipeline it lasts as long as its slowest rank computes, plus
the transfer that no rank can escape; with one, sum of the stage times + (m - 1) x the slowest stage time, each for one
micro-batch. A resource is taken away, the model is asked again, and the difference is its share. They are taken away
one after the other, so the shares never add up to more than the step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from engine.verdict.facts import Facts, Floats, Rank

HOST_PHASES = ("other_s", "host_gap_s")
WORK_PHASES = ("forward_s", "backward_s", "optimiser_s")


@dataclass(frozen=True)
class Slowest:
    """The rank or stage that the others wait for: its time over the mean, and in which share of the steps it was it."""

    kind: str  # rank or stage
    number: int
    ratio: float
    steps_share: float


@dataclass(frozen=True)
class Shares:
    """Seconds a step by rule id; with `compute` they add up to `step_s` less `untold_s`."""

    step_s: float
    seconds: dict[str, float]
    untold_s: float  # of the step, in no phase
    slowest: Slowest | None
    bubble_expected_share: float | None  # (p - 1) / (m + p - 1)
    bubble_is_measured: bool
    idle_share: float | None  # measured bubble_s over the step, mean over the ranks

    def share(self, rule: str) -> float:
        return self.seconds.get(rule, 0.0) / self.step_s


def shares_of(facts: Facts) -> Shares:
    """Of facts with at least one step and one rank."""
    grid = _Grid(facts)
    step_s = float(facts.step_s.mean())
    whole, no_data = grid.local(), grid.local(without=("data_wait_s",))
    as_it_is, fed = grid.time(whole), grid.time(no_data)
    level = grid.time(grid.levelled(no_data))
    full = grid.levelled(no_data).mean(axis=0)  # no stage ever waits for another
    host = grid.sum(HOST_PHASES).mean(axis=0)
    seconds = {
        "input": float((as_it_is - fed).mean()),
        "imbalance": float((fed - level).mean()),
        "host": float(host.mean()),
        "compute": float(grid.sum(WORK_PHASES).mean()),
    }
    told = grid.sum((*HOST_PHASES, *WORK_PHASES, "data_wait_s", "communication_s", "bubble_s")).mean(axis=0)
    untold_s = max(0.0, float((facts.step_s - told).mean()))
    seconds["communication"] = grid.transfer_s()
    has_bubble = any("bubble_s" in rank.phases for rank in facts.ranks)
    if facts.stages > 1:
        if has_bubble:
            seconds["bubble"] = max(0.0, step_s - untold_s - sum(seconds.values()))
        else:
            ends = grid.sum(("optimiser_s",)).max(axis=0)
            seconds["bubble"] = float((level - full - ends + grid.sum(("optimiser_s",)).mean(axis=0)).mean())
            seconds["communication"] = max(0.0, float((facts.step_s - as_it_is).mean()))
    return Shares(
        step_s=step_s,
        seconds={rule: max(0.0, value) for rule, value in seconds.items()},
        untold_s=untold_s,
        slowest=grid.slowest(no_data),
        bubble_expected_share=_expected(facts),
        bubble_is_measured=has_bubble,
        idle_share=float(grid.sum(("bubble_s",)).mean()) / step_s if has_bubble else None,
    )


def _expected(facts: Facts) -> float | None:
    p, m = facts.stages, facts.micro_batches
    return (p - 1) / (m + p - 1) if p > 1 else None


class _Grid:
    """Arrays [rank, step] of the ranks in their layout."""

    def __init__(self, facts: Facts) -> None:
        self._facts, self._ranks = facts, facts.ranks
        self._stages = sorted({rank.stage for rank in facts.ranks})
        self._is_pipeline = facts.stages > 1

    def sum(self, phases: tuple[str, ...]) -> Floats:
        """Seconds of these phases together, [rank, step]."""
        nothing = np.zeros(self._facts.num_steps)
        rows = [np.sum([rank.phases.get(name, nothing) for name in phases], axis=0) for rank in self._ranks]
        return np.array(rows, dtype=float)

    def local(self, without: tuple[str, ...] = ()) -> Floats:
        """What each rank does by itself, [rank, step]."""
        names = ("data_wait_s", *HOST_PHASES, *WORK_PHASES)
        return self.sum(tuple(name for name in names if name not in without))

    def levelled(self, local: Floats) -> Floats:
        return np.broadcast_to(local.mean(axis=0), local.shape).copy()

    def time(self, local: Floats) -> Floats:
        """How long each step takes without any transfer, [step]."""
        if not self._is_pipeline:
            return np.asarray(local.max(axis=0))
        ends = np.minimum(self.sum(("optimiser_s",)), local)
        busy, m = local - ends, self._facts.micro_batches
        pipes = []
        for chosen in self._copies():
            stages = np.array([busy[self._of(stage, chosen)].mean(axis=0) for stage in self._stages])
            missing = self._facts.stages - len(
                stages
            )  # ranks that told nothing count as the mean of the others
            total = stages.sum(axis=0) + missing * stages.mean(axis=0)
            pipes.append((total + (m - 1) * stages.max(axis=0)) / m)
        return np.asarray(np.max(pipes, axis=0) + ends.max(axis=0))

    def transfer_s(self) -> float:
        """Least wait of the ranks that take part in the same collectives, step by step: nobody can be faster. The rest
        of a rank's wait is for slower ranks."""
        waits = self.sum(("communication_s",))
        groups: list[list[int]] = [list(range(len(self._ranks)))]
        if self._is_pipeline:
            groups = [self._of(stage) for stage in self._stages]
        return float(np.mean([waits[group].min(axis=0).mean() for group in groups]))

    def slowest(self, local: Floats) -> Slowest | None:
        if len(self._ranks) < 2:
            return None
        if self._is_pipeline:
            rows, names = [local[self._of(stage)].mean(axis=0) for stage in self._stages], self._stages
        else:
            rows, names = list(local), [rank.rank for rank in self._ranks]
        if len(rows) < 2:
            return None
        table = np.array(rows)
        means = table.mean(axis=1)
        place = int(means.argmax())
        return Slowest(
            kind="stage" if self._is_pipeline else "rank",
            number=names[place],
            ratio=float(means[place] / means.mean()) if means.mean() > 0 else 1.0,
            steps_share=float((table.argmax(axis=0) == place).mean()),
        )

    def _copies(self) -> list[Callable[[Rank], bool]]:
        """One test for each copy of the model: which ranks are of it."""
        numbers = sorted({rank.data_rank for rank in self._ranks})
        return [lambda rank, number=number: rank.data_rank == number for number in numbers]  # type: ignore[misc]

    def _of(self, stage: int, chosen: Callable[[Rank], bool] | None = None) -> list[int]:
        places = [n for n, rank in enumerate(self._ranks) if rank.stage == stage]
        kept = [n for n in places if chosen is None or chosen(self._ranks[n])]
        return kept or places  # a copy of which this stage told nothing
