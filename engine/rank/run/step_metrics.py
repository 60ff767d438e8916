"""Metrics of a step, with the names of engine.telemetry.metrics."""

from __future__ import annotations

import os
from typing import Any

import torch

from engine.hardware.peaks import find_peak
from engine.model_math import counts, flops
from engine.rank.measure.recorder import MissingMetrics
from engine.rank.run.evaluate import missing_text_scores
from engine.rank.run.session import TrainingSession
from engine.spec.optimisers import OPTIMISERS

ALLOCATOR_METRICS = (
    "memory_allocated_bytes", "memory_reserved_bytes", "memory_peak_bytes", "alloc_retries", "alloc_failures",
)  # fmt: skip
# After so many steps the state of every optimiser has its full size.
GROWING_STEPS = max(row.growth_steps for row in OPTIMISERS.values())
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class StepMetrics:
    """Converts the measurements of the loop to metrics. Metrics that cannot be measured are left out, never 0."""

    def __init__(self, session: TrainingSession) -> None:
        spec = session.spec
        self._session = session
        self._tokens_per_step = counts.tokens_per_step(spec)
        self._flops_per_step = flops.per_token(spec) * self._tokens_per_step
        self._on_cuda = session.device.type == "cuda"
        self._device_name = torch.cuda.get_device_name(session.device) if self._on_cuda else ""
        self._peak_flops_per_s = self._peak()
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self.steps_done = session.first_step
        self.validation_metrics: dict[str, float] = {}  # of the newest validation
        self._losses: list[float] = []  # of the steps since the last `pop_mean_loss`
        self._last: dict[str, float] = {}
        self._growing_steps, self._state_bytes = GROWING_STEPS, 0.0

    def _peak(self) -> float | None:
        """Return the dense peak FLOP/s of all devices together; None if the table does not have the device."""
        peak = find_peak(self._device_name) if self._on_cuda else None
        tflops = peak.tflops.get(self._session.dtype) if peak else None
        return tflops * 1e12 * self._session.spec.parallel.world_size if tflops else None

    def missing_metrics(self) -> MissingMetrics:
        """Return the reasons for missing metrics of this run and its ranks."""
        run, rank = missing_text_scores(self._session.spec), {}
        if self._peak_flops_per_s is None:
            name = f"{self._device_name} in {self._session.dtype}" if self._on_cuda else "a CPU"
            run["mfu_share"] = ("unsupported", f"no peak is known for {name}, and none is guessed")
        if not self._on_cuda:
            reason = ("unsupported", "torch keeps these figures for CUDA devices only; see resident memory")
            rank = dict.fromkeys(ALLOCATOR_METRICS, reason)
            rank["host_gap_s"] = ("unsupported", "on a CPU the host is the device: its gaps are in 'other'")
        return {"run": run, "rank": rank}

    def run_metrics(
        self, done: int, loss: float, rate: float, norm: float | None, step_s: float
    ) -> dict[str, float]:
        self.steps_done = done
        self._losses.append(loss)
        flops_per_s = self._flops_per_step / step_s
        metrics = {
            "loss": loss,
            "learning_rate": rate,
            "tokens": float(self._session.restored.counters.after(done, self._session.spec).tokens),
            "step_s": step_s,
            "tokens_per_s": self._tokens_per_step / step_s,
            "flops_per_s": flops_per_s,
        }
        loop_s, loop_steps = self._session.clock.loop_s, done - self._session.first_step - 1
        if loop_steps > 0 and loop_s > 0:
            metrics["clock_tokens_per_s"] = self._tokens_per_step * loop_steps / loop_s
        if norm is not None:
            metrics["grad_norm"] = norm
        if self._peak_flops_per_s is not None:
            metrics["mfu_share"] = flops_per_s / self._peak_flops_per_s
        if self._session.guard.policy != "stop":
            metrics["broken_steps"] = float(self._session.guard.num_broken)
        if self._session.dtype == "fp16":
            metrics["loss_scale"] = float(self._session.engine.optimizer.loss_scale)
        self._last = metrics
        return metrics

    def rank_metrics(self) -> dict[str, float]:
        """Return the present memory use of this rank."""
        if self._growing_steps:
            self._growing_steps -= 1
            self._state_bytes = measure_state_bytes(self._session.optimiser)
        own = {"rss_bytes": self._rss_bytes(), "optimiser_state_bytes": self._state_bytes}
        return own | (allocator_metrics(torch.cuda) if self._on_cuda else {})

    def _rss_bytes(self) -> float:
        return float(os.pread(self._statm, 128, 0).split()[1]) * _PAGE_BYTES

    def final_metrics(self) -> dict[str, float]:
        """Return the metrics of the last step and of the newest validation."""
        return self._last | self.validation_metrics

    def pop_mean_loss(self) -> float | None:
        """Return the mean training loss since the last call; None if there was no step."""
        losses, self._losses = self._losses, []
        return sum(losses) / len(losses) if losses else None


def measure_state_bytes(optimiser: torch.optim.Optimizer) -> float:
    """Return the bytes of all tensors in the optimiser state, including lists (the history of L-BFGS)."""
    found = (value for state in optimiser.state.values() for value in state.values())
    flat = (one for value in found for one in (value if isinstance(value, list) else [value]))
    return float(sum(one.numel() * one.element_size() for one in flat if isinstance(one, torch.Tensor)))


def allocator_metrics(cuda: Any) -> dict[str, float]:
    """Read the allocator's counters and reset the peak, so that the next reading has the peak of its step."""
    stats = cuda.memory_stats()
    cuda.reset_peak_memory_stats()
    return {
        "memory_allocated_bytes": float(stats.get("allocated_bytes.all.current", 0)),
        "memory_reserved_bytes": float(stats.get("reserved_bytes.all.current", 0)),
        "memory_peak_bytes": float(stats.get("allocated_bytes.all.peak", 0)),
        "alloc_retries": float(stats.get("num_alloc_retries", 0)),
        "alloc_failures": float(stats.get("num_ooms", 0)),
    }
