"""Runs of real ranks with an injected bottleneck, and their facts for the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from engine.directory import AttemptDirectory
from engine.planner import HardwareProfile
from engine.spec.spec import Spec
from engine.telemetry.metrics import STEP_PHASES
from engine.telemetry.wire import number
from engine.verdict.facts import ClockFacts, DeviceFacts, Facts
from engine.verdict.results import Verdict
from engine.verdict.spec_edits import apply_changes
from engine.verdict.steady import RecordedSteps, build_facts
from engine.verdict.whatif import predict_gain
from tests.engine.rank import injection
from tests.engine.rank.attempts import Attempt, Forker, tiny, write_attempt
from tests.engine.rank.host_readings import HostReadings

STEPS = 21  # of which five are warm-up
BLOCK_S = 0.010  # per sequence and block: 160 ms per step of two blocks and eight sequences
CAPACITY_BYTES = 1200 * 2**20


@dataclass(frozen=True)
class Case:
    """An injected bottleneck with its expected verdict.

    `expected` has the rules that the verdict names, `state` the severity of the memory state. A second run has the
    cause removed (`without` is then injected) or the spec changed (`alter`). The time that it saves is compared with
    the claim of the verdict: the share of the rules, `removed_s` of each step, or the gain of the change.
    """

    name: str
    expected: frozenset[str]
    inject: Mapping[str, Any]
    layout: Mapping[str, Any] = field(default_factory=dict)
    batch: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    without: Mapping[str, Any] | None = None
    alter: Mapping[str, Any] | None = None
    removed_s: float | None = None
    capacity_bytes: int | None = None
    state: str = ""

    @property
    def is_compared(self) -> bool:
        return self.without is not None or self.alter is not None

    @property
    def spec(self) -> Spec:
        return tiny(
            parallel={"data": 2, **self.layout},
            batch={"global_batch_size": 16, "micro_batch_size": 8, **self.batch},
            model={"layers": max(2, int(self.layout.get("stages", 1))), **self.model},
            budget={"steps": STEPS},
        )


@dataclass(frozen=True)
class Bench:
    """Runs cases with one process that forks ranks and one folder of data."""

    forker: Forker
    data_dir: Path
    folder: Path
    steps: int = STEPS
    profile: HardwareProfile | None = None
    reads_host: bool = False  # whether the facts have the pressures of this host

    def run(self, case: Case) -> Facts:
        """Return the facts of an attempt with the cause of the case."""
        return self._run(case, case.spec, case.inject, "with")

    def run_without(self, case: Case) -> Facts:
        """Return the facts of an attempt with the cause removed, or the spec apply_changes."""
        spec = apply_changes(case.spec.model_dump(), case.alter or {})
        return self._run(case, spec, case.inject if case.without is None else case.without, "without")

    def _run(self, case: Case, spec: Spec, inject: Mapping[str, Any], name: str) -> Facts:
        spec = apply_changes(spec.model_dump(), {"budget.steps": self.steps})
        directory = write_attempt(self.folder / f"{case.name} {name}", spec, self.data_dir)
        injection.put(directory.path, **inject)
        attempt = self.forker.start(directory)
        with HostReadings(attempt.pids) as readings:
            attempt.succeeded()
        facts = facts_from(attempt, directory, spec, case.capacity_bytes).replace(profile=self.profile)
        return readings.add_to(facts, attempt) if self.reads_host else facts


def is_named(case: Case, verdict: Verdict) -> bool:
    """Whether the verdict names the expected rules and memory state."""
    states = [state.severity for state in verdict.states if state.rule == "memory_full"]
    return set(verdict.rules) == case.expected and states == ([case.state] if case.state else [])


def claimed(case: Case, facts: Facts, verdict: Verdict) -> float:
    """Return the share of the time per token that the verdict claims to save."""
    if case.alter is not None:
        share = predict_gain(facts, apply_changes(facts.spec, case.alter)).share
        assert share is not None
        return share
    if case.removed_s is not None:
        return case.removed_s / float(facts.step_s.mean())
    return verdict.get_share(*case.expected)


def saved(before: Facts, after: Facts) -> float:
    """Return the share of the time per token that was saved."""

    def token_s(facts: Facts) -> float:
        return float(facts.step_s.mean()) / facts.spec["batch"]["global_batch_size"]

    return 1 - token_s(after) / token_s(before)


def facts_from(attempt: Attempt, directory: AttemptDirectory, spec: Spec, capacity: int | None) -> Facts:
    seats = {
        seat.rank: (seat.stage, seat.data_rank, seat.device) for seat in directory.read_placement().seats
    }
    wanted = (*STEP_PHASES, "collective_bytes")
    series = {
        (rank, metric): columns(found)
        for rank in seats
        for metric in wanted
        if (found := attempt.series(metric, f"rank{rank}", rank))
    }
    peaks = {rank: max(attempt.series("rss_bytes", f"rank{rank}", rank).values()) for rank in seats}
    devices = tuple(
        DeviceFacts(device, "cpu", {}, peaks[rank], capacity) for rank, (_, _, device) in seats.items()
    )
    facts = build_facts(
        RecordedSteps(
            spec=spec.model_dump(), first_step=1, last_step=spec.budget.steps, series=series,
            step_s=columns(attempt.series("step_s")), seats=seats, world_size=len(seats), devices=devices,
        )
    )  # fmt: skip
    return facts.replace(clock=clock_from(attempt))


def clock_from(attempt: Attempt) -> ClockFacts:
    """Return the clock that rank 0 recorded last."""
    line = attempt.lines("clock", "rank0")[-1]
    seconds = {name: number(value) for name, value in line.metrics.items()}
    return ClockFacts.from_rank(seconds, line.number or 0, line.step or 0)


def columns(found: Mapping[int, float]) -> tuple[Any, Any]:
    return np.array(list(found), dtype=np.int64), np.array(list(found.values()))
