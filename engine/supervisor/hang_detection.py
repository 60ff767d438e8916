"""Hang detection by the heartbeats of ranks."""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.directory import RankExit
from engine.telemetry import heartbeat
from engine.telemetry.heartbeat import Beat, Stage
from fourwalls.system import procfs

POLL_S = 1.0
# A longer gap between two polls is not counted: this process was stopped too, or the machine slept.
POLL_GAP_LIMIT_S = 5.0
# Longest time without a beat in each stage: environment variable, default in seconds, and text for the reason.
LIMITS: dict[int, tuple[str, float, str]] = {
    Stage.BUILD: ("FOURWALLS_BUILD_LIMIT_S", 900.0, "while joining the other ranks and building the engine"),
    Stage.FIRST_STEP: ("FOURWALLS_FIRST_STEP_LIMIT_S", 600.0, "in the first step"),
    Stage.STEP: ("FOURWALLS_HUNG_AFTER_S", 120.0, ""),
    Stage.LONG: ("FOURWALLS_SAVE_LIMIT_S", 1800.0, "while saving, loading or validating"),
}
# Timeout of a rank that waits for its peers; longer than every limit here.
PEER_TIMEOUT_S = 2700.0
SETTINGS = tuple(variable for variable, _, _ in LIMITS.values())
SILENT_STEPS = 10
STEPS_KEPT = 64
DUMP_SIGNAL = signal.SIGUSR1  # ranks write the stacks of all their threads (engine.rank.run.start)
DUMP_S = 1.0


def read_limits() -> dict[int, float]:
    """Return stage -> seconds, from the environment.

    There is no limit for DATA or before the first beat, since imports may come over a slow network.
    """
    return {stage: float(os.environ.get(variable, usual)) for stage, (variable, usual, _) in LIMITS.items()}


@dataclass(frozen=True)
class Hang:
    """A hang with the rank that most likely causes it; `is_certain` if that rank differs from the others."""

    rank: int
    reason: str
    is_certain: bool


@dataclass
class RankProgress:
    """Progress of one rank. Seconds are those in which this process has polled."""

    beat: Beat | None = None
    silent_s: float = 0.0
    step_s: float = 0.0  # since the last change of the step
    steps: deque[float] = field(default_factory=lambda: deque(maxlen=STEPS_KEPT))

    def update(self, now: Beat | None, elapsed_s: float) -> None:
        self.step_s += elapsed_s
        self.silent_s += elapsed_s
        if now is None or now == self.beat:
            return
        # The first step and steps with a checkpoint do not count for the time of a step.
        if self.beat is not None and self.beat.stage == Stage.STEP and now.step > self.beat.step:
            self.steps.append(self.step_s / (now.step - self.beat.step))
        if self.beat is None or now.step != self.beat.step:
            self.step_s = 0.0
        self.beat, self.silent_s = now, 0.0


class HangDetector:
    """Detects a hang of the ranks of this node."""

    def __init__(self, folder: Path, limits_s: Mapping[int, float] | None = None) -> None:
        self._folder = folder
        self._limits_s = read_limits() if limits_s is None else limits_s
        self._progress: dict[int, RankProgress] = {}
        self._polled_at = time.monotonic()

    def poll(self, ranks: Sequence[RankExit]) -> Hang | None:
        """Return the hang if all living ranks have been silent for too long; checks at most once per second."""
        elapsed_s = time.monotonic() - self._polled_at
        if elapsed_s < POLL_S:
            return None
        self._polled_at += elapsed_s
        return self.detect(
            {rank.rank: heartbeat.read(self._folder, rank.rank) for rank in ranks}, elapsed_s, ranks
        )

    def detect(
        self, beats: dict[int, Beat | None], elapsed_s: float, ranks: Sequence[RankExit]
    ) -> Hang | None:
        for rank, beat in beats.items():
            self._progress.setdefault(rank, RankProgress()).update(beat, min(elapsed_s, POLL_GAP_LIMIT_S))
        living = {rank.rank: self._progress[rank.rank] for rank in ranks}
        # If one rank makes progress, the attempt does: the others only wait for it.
        if not living or not all(self._is_silent(progress) for progress in living.values()):
            return None
        return _build_hang(living, {rank.rank: rank.pid for rank in ranks})

    def _is_silent(self, progress: RankProgress) -> bool:
        if progress.beat is None:
            return False
        stage = progress.beat.stage
        if stage == Stage.STEP and not progress.steps:
            stage = Stage.FIRST_STEP
        limit_s = self._limits_s.get(stage, float("inf"))
        if progress.steps:
            limit_s = max(limit_s, SILENT_STEPS * _median(progress))
        return progress.silent_s > limit_s


def request_stacks(ranks: Iterable[RankExit]) -> None:
    """Ask each rank to write the stacks of its threads to its log; a stopped rank does not."""
    for rank in ranks:
        os.kill(rank.pid, DUMP_SIGNAL)
    time.sleep(DUMP_S)


def _build_hang(living: dict[int, RankProgress], pids: dict[int, int]) -> Hang:
    """Build the hang: its rank is stopped by a signal, or is the only one with the fewest beats, else is uncertain."""
    stopped = [rank for rank, pid in pids.items() if procfs.is_stopped(pid)]
    counts = {rank: progress.beat.number for rank, progress in living.items() if progress.beat}
    fewest = min(counts, key=lambda rank: (counts[rank], rank))
    is_behind = len(counts) > 1 and list(counts.values()).count(counts[fewest]) == 1
    rank = stopped[0] if stopped else fewest
    progress = living[rank]
    message = f"no progress for {progress.silent_s:.0f} s {_describe_progress(progress)}"
    if stopped:
        return Hang(rank, f"hung: {message}; rank {rank} is stopped by a signal", True)
    if is_behind:
        return Hang(rank, f"hung: {message}; rank {rank} lags behind the others", True)
    return Hang(rank, f"hung: {message}; no rank is behind the others", False)


def _describe_progress(progress: RankProgress) -> str:
    stage, step = (progress.beat.stage, progress.beat.step) if progress.beat else (Stage.BUILD, 0)
    if stage != Stage.STEP:
        return LIMITS[stage][2] if stage in LIMITS else "while preparing the data"
    return f"after step {step}" + (f" (a step takes {_median(progress):.2g} s)" if progress.steps else "")


def _median(progress: RankProgress) -> float:
    return statistics.median(progress.steps)
