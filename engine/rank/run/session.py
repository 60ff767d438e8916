"""Session: the objects of one training rank."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any

import torch

from engine.data.prepare import PreparedData
from engine.directory import AttemptDirectory, RankSeat
from engine.rank.checkpoint.async_save import CheckpointSaver
from engine.rank.checkpoint.state import RestoredState
from engine.rank.measure.breakdown import Breakdown
from engine.rank.measure.progress_log import ProgressLog
from engine.rank.measure.recorder import Recorder
from engine.rank.measure.tracer import Tracer
from engine.rank.measure.wall_clock import WallClock
from engine.rank.train.divergence import DivergenceGuard
from engine.rank.train.trainers import Trainer
from engine.rank.train.update import Update
from engine.spec.spec import Spec
from engine.telemetry.heartbeat import Heartbeat


@dataclass(frozen=True)
class TrainingSession:
    """Objects and settings of one rank, from the build to the end of training."""

    directory: AttemptDirectory
    spec: Spec
    dtype: str
    device: torch.device
    started_at: float  # time.monotonic() at the start of the rank
    restored: RestoredState
    tokens: PreparedData
    engine: Any
    optimiser: torch.optim.Optimizer
    trainer: Trainer
    update: Update
    guard: DivergenceGuard
    breakdown: Breakdown
    recorder: Recorder
    saver: CheckpointSaver
    heartbeat: Heartbeat
    progress_log: ProgressLog
    seat: RankSeat
    tracer: Tracer
    clock: WallClock
    halt_at_step: int | None = None
    built_at: float = field(default_factory=time.perf_counter)

    @property
    def first_step(self) -> int:
        """Number of steps done by the resumed checkpoint."""
        return self.restored.step

    @property
    def last_step(self) -> int:
        """The step after which this attempt ends, unless it is stopped earlier."""
        steps = self.spec.budget.steps
        return steps if self.halt_at_step is None else min(self.halt_at_step, steps)

    def is_broken(self, norm: float | None) -> bool:
        """Whether the gradients are not finite. ZeRO would skip such steps silently and for ever.

        In fp16 such steps are normal: they adjust the loss scale.
        """
        return norm is not None and not math.isfinite(norm) and self.dtype != "fp16"

    def is_late(self) -> bool:
        return time.monotonic() > self.started_at + self.spec.budget.limit_s

    def record_clock(self, done: int) -> None:
        """Record the wall clock until its last lap, on rank 0: the other ranks wait for it in each step."""
        if self.recorder.rank == 0:
            self.recorder.clock(self.first_step, done, *self.clock.take())

    def first_step_done(self) -> None:
        if self.recorder.rank == 0:
            self.recorder.phase("first_step", time.perf_counter() - self.built_at)
