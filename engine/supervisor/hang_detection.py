"""Ranks that make no progress any more: found by their heartbeats, made to say where they stand."""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine import procfs
from engine.directory import RankExit
from engine.telemetry import heartbeat
from engine.telemetry.heartbeat import Beat, Stage

LOOK_S = 1.0
# More than this between two looks is not counted: this process was stopped too, or the machine slept.
LOOK_LIMIT_S = 5.0
# How long a rank may go without a beat, by what it is at: environment variable, default, and what the reason says.
LIMITS: dict[int, tuple[str, float, str]] = {
    Stage.BUILD: ("FOURWALLS_BUILD_LIMIT_S", 900.0, "while meeting the others and building the engine"),
    Stage.FIRST_STEP: ("FOURWALLS_FIRST_STEP_LIMIT_S", 600.0, "in the first step"),
    Stage.STEP: ("FOURWALLS_HUNG_AFTER_S", 120.0, ""),
    Stage.LONG: ("FOURWALLS_SAVE_LIMIT_S", 1800.0, "while saving, loading or validating"),
}
# How long a rank itself waits for its peers before it gives them up: longer than anything that is let pass here.
PEER_TIMEOUT_S = 2700.0
SETTINGS = tuple(variable for variable, _, _ in LIMITS.values())
QUIET_STEPS = 10
STEPS_KEPT = 64
DUMP_SIGNAL = signal.SIGUSR1  # ranks answer with the stacks of all their threads (engine.rank.run.start)
DUMP_S = 1.0


def limits() -> dict[int, float]:
    """Stage -> seconds, by the environment. No limit for DATA, nor before the first beat: imports may come over a slow
    network."""
    return {stage: float(os.environ.get(variable, usual)) for stage, (variable, usual, _) in LIMITS.items()}


@dataclass(frozen=True)
class Hang:
    """`rank` is the one that lags, as far as can be told; `is_sure`: it differs from the others."""

    rank: int
    reason: str
    is_sure: bool


@dataclass
class Pulse:
    """One rank as seen so far. Seconds are those that this process watched."""

    beat: Beat | None = None
    quiet_s: float = 0.0
    step_s: float = 0.0  # since the last change of the step
    steps: deque[float] = field(default_factory=lambda: deque(maxlen=STEPS_KEPT))

    def take(self, now: Beat | None, elapsed_s: float) -> None:
        self.step_s += elapsed_s
        self.quiet_s += elapsed_s
        if now is None or now == self.beat:
            return
        # The first step and those that were interrupted by a checkpoint say nothing of how long a step takes.
        if self.beat is not None and self.beat.stage == Stage.STEP and now.step > self.beat.step:
            self.steps.append(self.step_s / (now.step - self.beat.step))
        if self.beat is None or now.step != self.beat.step:
            self.step_s = 0.0
        self.beat, self.quiet_s = now, 0.0


class Watch:
    """All ranks of this node."""

    def __init__(self, folder: Path, limits_s: Mapping[int, float] | None = None) -> None:
        self._folder = folder
        self._limits_s = limits() if limits_s is None else limits_s
        self._pulses: dict[int, Pulse] = {}
        self._looked_at = time.monotonic()

    def look(self, ranks: Sequence[RankExit]) -> Hang | None:
        """The hang, if every living rank has been quiet for too long; at most once a second."""
        elapsed_s = time.monotonic() - self._looked_at
        if elapsed_s < LOOK_S:
            return None
        self._looked_at += elapsed_s
        return self.judge(
            {rank.rank: heartbeat.read(self._folder, rank.rank) for rank in ranks}, elapsed_s, ranks
        )

    def judge(
        self, beats: dict[int, Beat | None], elapsed_s: float, ranks: Sequence[RankExit]
    ) -> Hang | None:
        for rank, beat in beats.items():
            self._pulses.setdefault(rank, Pulse()).take(beat, min(elapsed_s, LOOK_LIMIT_S))
        living = {rank.rank: self._pulses[rank.rank] for rank in ranks}
        # One rank that goes on shows that the gang does: the others are only waiting for it.
        if not living or not all(self._is_quiet(pulse) for pulse in living.values()):
            return None
        return _hang(living, {rank.rank: rank.pid for rank in ranks})

    def _is_quiet(self, pulse: Pulse) -> bool:
        if pulse.beat is None:
            return False
        stage = pulse.beat.stage
        if stage == Stage.STEP and not pulse.steps:
            stage = Stage.FIRST_STEP
        limit_s = self._limits_s.get(stage, float("inf"))
        if pulse.steps:
            limit_s = max(limit_s, QUIET_STEPS * _median(pulse))
        return pulse.quiet_s > limit_s


def ask_for_stacks(ranks: Iterable[RankExit]) -> None:
    """Each rank writes the stacks of its threads into its log; one that is stopped, or deaf, does not."""
    for rank in ranks:
        os.kill(rank.pid, DUMP_SIGNAL)
    time.sleep(DUMP_S)


def _hang(living: dict[int, Pulse], pids: dict[int, int]) -> Hang:
    """The rank that lags: one that is stopped by a signal, else the one with the fewest beats, if that is one."""
    stopped = [rank for rank, pid in pids.items() if procfs.is_stopped(pid)]
    counts = {rank: pulse.beat.number for rank, pulse in living.items() if pulse.beat}
    fewest = min(counts, key=lambda rank: (counts[rank], rank))
    is_behind = len(counts) > 1 and list(counts.values()).count(counts[fewest]) == 1
    rank = stopped[0] if stopped else fewest
    pulse = living[rank]
    said = f"no progress for {pulse.quiet_s:.0f} s {_where(pulse)}"
    if stopped:
        return Hang(rank, f"hung: {said}; rank {rank} is stopped by a signal", True)
    if is_behind:
        return Hang(rank, f"hung: {said}; rank {rank} lags behind the others", True)
    return Hang(rank, f"hung: {said}; no rank is behind the others", False)


def _where(pulse: Pulse) -> str:
    stage, step = (pulse.beat.stage, pulse.beat.step) if pulse.beat else (Stage.BUILD, 0)
    if stage != Stage.STEP:
        return LIMITS[stage][2] if stage in LIMITS else "while preparing the data"
    return f"after step {step}" + (f" (a step takes {_median(pulse):.2g} s)" if pulse.steps else "")


def _median(pulse: Pulse) -> float:
    return statistics.median(pulse.steps)
