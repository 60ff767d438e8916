"""Everything one rank holds while it trains."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any

import torch

from engine.data.prepare import Prepared
from engine.directory import AttemptDirectory, Seat
from engine.rank.checkpoint.async_save import Saver
from engine.rank.measure.breakdown import Breakdown
from engine.rank.measure.profiler import Tracer
from engine.rank.measure.progress_log import Narrator
from engine.rank.measure.recorder import Recorder
from engine.rank.train.divergence import DivergenceGuard
from engine.rank.train.trainers import Trainer
from engine.rank.train.update import Update
from engine.spec.spec import Spec
from engine.telemetry.heartbeat import Heartbeat


@dataclass(frozen=True)
class Session:
    directory: AttemptDirectory
    spec: Spec
    dtype: str
    device: torch.device
    started_at: float  # time.monotonic() when the rank began
    first_step: int  # steps that a resumed checkpoint has behind it
    tokens: Prepared
    engine: Any
    optimiser: torch.optim.Optimizer
    trainer: Trainer
    update: Update
    guard: DivergenceGuard
    breakdown: Breakdown
    recorder: Recorder
    saver: Saver
    heartbeat: Heartbeat
    narrator: Narrator
    seat: Seat
    tracer: Tracer
    halt_at_step: int | None = None
    built_at: float = field(default_factory=time.perf_counter)

    @property
    def last_step(self) -> int:
        """After which this attempt ends, unless it is asked to stop earlier."""
        steps = self.spec.budget.steps
        return steps if self.halt_at_step is None else min(self.halt_at_step, steps)

    def is_broken(self, norm: float | None) -> bool:
        """Whether the gradients are not numbers. ZeRO would skip such steps without a word, for ever; in fp16 that
        is how the loss scale finds its level."""
        return norm is not None and not math.isfinite(norm) and self.dtype != "fp16"

    def is_late(self) -> bool:
        return time.monotonic() > self.started_at + self.spec.budget.limit_s

    def first_step_done(self) -> None:
        if self.recorder.rank == 0:
            self.recorder.phase("first_step", time.perf_counter() - self.built_at)
