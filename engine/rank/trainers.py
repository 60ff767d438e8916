"""One step and one validation, for the plain engine and for the pipeline engine."""

from __future__ import annotations

from collections.abc import Iterator
from types import MethodType
from typing import Any, Protocol

import torch
from deepspeed.runtime.pipe import schedule
from torch import Tensor

from engine.data.batches import TrainingBatches, ValidationBatches
from engine.rank.breakdown import Breakdown
from engine.rank.layers import loss_of
from engine.spec import Spec
from engine.telemetry.heartbeat import Heart


class Source(Protocol):
    def rows(self, step: int, start: int, stop: int) -> tuple[Any, Any]: ...


class MicroBatches:
    """The rows of one data rank: its contiguous slice of each global batch, micro-batch by micro-batch."""

    def __init__(self, spec: Spec, data_rank: int, device: torch.device, heart: Heart) -> None:
        self._heart = heart
        self._count, self._size, self._device = spec.accumulation, spec.batch.micro_batch_size, device
        self._first = data_rank * self._count * self._size

    def of(self, source: Source, step: int) -> Iterator[tuple[Tensor, Tensor]]:
        for micro in range(self._count):
            self._heart.beat_micro()
            start = self._first + micro * self._size
            ids, targets = source.rows(step, start, start + self._size)
            yield torch.from_numpy(ids).to(self._device), torch.from_numpy(targets).to(self._device)


class PlainTrainer:
    """Plain and ZeRO 0-3: every rank runs the whole model on its own rows."""

    def __init__(self, spec: Spec, engine: Any, micro_batches: MicroBatches, breakdown: Breakdown) -> None:
        self._spec, self._engine, self._micro_batches, self._breakdown = (
            spec,
            engine,
            micro_batches,
            breakdown,
        )
        # Shares of the mean over a global batch: each rank's sum of its micro-batches' means over this.
        self._shares = spec.accumulation * spec.parallel.data

    def step(self, source: TrainingBatches, step: int) -> Tensor:
        """One update; returns this rank's share of the global mean loss (the shares add up to it)."""
        engine, phase = self._engine, self._breakdown.phase
        engine.train()
        micro_batches, total = self._micro_batches.of(source, step), torch.zeros((), device=engine.device)
        for _ in range(self._spec.accumulation):
            with phase("data_wait_s", "load"):
                ids_BS, targets_BS = next(micro_batches)
            with phase("forward_s"):
                loss = loss_of(engine(ids_BS), targets_BS)
            with phase("backward_s"):
                engine.backward(loss)
            with phase("optimiser_s"):
                engine.step()  # does something only after the last micro-batch
            total += loss.detach()
        return total / self._shares

    @torch.no_grad()
    def validate(self, source: ValidationBatches) -> Tensor:
        """This rank's share of the mean loss over the held-out sequences."""
        self._engine.eval()
        total = torch.zeros((), device=self._engine.device)
        for batch in range(source.batches):
            for ids_BS, targets_BS in self._micro_batches.of(source, batch):
                total += loss_of(self._engine(ids_BS), targets_BS)
        return total * source.correction / (self._shares * source.batches)


class PipelineTrainer:
    """Pipeline: DeepSpeed's schedule moves micro-batches through the stages and gives every rank the same loss."""

    def __init__(self, spec: Spec, engine: Any, micro_batches: MicroBatches, breakdown: Breakdown) -> None:
        self._engine, self._micro_batches = engine, micro_batches
        self._world_size = spec.parallel.world_size
        _time_instructions(engine, breakdown)

    def step(self, source: TrainingBatches, step: int) -> Tensor:
        return self._engine.train_batch(self._micro_batches.of(source, step)) / self._world_size

    def validate(self, source: ValidationBatches) -> Tensor:
        total = torch.zeros((), device=self._engine.device)
        for batch in range(source.batches):
            total += self._engine.eval_batch(self._micro_batches.of(source, batch)).squeeze()
        return total * source.correction / (self._world_size * source.batches)


Trainer = PlainTrainer | PipelineTrainer

# Instruction -> the phase in which it counts, and what the timeline calls it.
_PHASE_OF = {
    schedule.LoadMicroBatch: ("data_wait_s", "load"),
    schedule.ForwardPass: ("forward_s", "forward"),
    schedule.BackwardPass: ("backward_s", "backward"),
    schedule.SendActivation: ("communication_s", "send_activation"),
    schedule.RecvActivation: ("communication_s", "receive_activation"),
    schedule.SendGrad: ("communication_s", "send_gradient"),
    schedule.RecvGrad: ("communication_s", "receive_gradient"),
    schedule.ReduceGrads: ("backward_s", "reduce"),
    schedule.OptimizerStep: ("optimiser_s", "optimiser"),
}


def _time_instructions(engine: Any, breakdown: Breakdown) -> None:
    """Put a phase around the engine's instructions, through the table from which it runs them."""

    def timed(instruction: Any, phase: str, name: str) -> Any:
        def run(self: Any, **kwargs: Any) -> None:
            with breakdown.phase(phase, name):
                MethodType(instruction, self)(**kwargs)

        return run

    table = dict(engine._INSTRUCTION_MAP)
    engine._INSTRUCTION_MAP = table | {kind: timed(table[kind], *names) for kind, names in _PHASE_OF.items()}
