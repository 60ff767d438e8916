"""Trainers: one step and one validation, on a plain or a pipeline engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import MethodType
from typing import Any, Protocol

import torch
from deepspeed.runtime.pipe import schedule
from torch import Tensor

from engine.rank.measure.breakdown import Breakdown
from engine.rank.model.embed import Stream
from engine.rank.model.loss import Loss
from engine.rank.train.update import Update
from engine.spec.spec import Spec
from engine.telemetry.heartbeat import Heartbeat


class RowSource(Protocol):
    """Rows start..stop of the global batch of a step: inputs (one array, or source and target of pairs) and targets.
    All steps have the same shapes: short rows are filled with PADDING in inputs and IGNORED in targets."""

    def rows(self, step: int, start: int, stop: int) -> tuple[Any, Any]: ...


class TrainingSource(RowSource, Protocol):
    def correction(self, step: int) -> float:
        """Positions of the global batch divided by those with a target."""
        ...


class HeldOutSource(RowSource, Protocol):
    @property
    def batches(self) -> int: ...

    @property
    def correction(self) -> float: ...


class MicroBatches:
    """The rows of one data rank: its contiguous slice of each global batch, micro-batch by micro-batch."""

    def __init__(self, spec: Spec, data_rank: int, device: torch.device, heartbeat: Heartbeat) -> None:
        self._heartbeat = heartbeat
        self._count, self._size, self._device = spec.accumulation, spec.batch.micro_batch_size, device
        self._first = data_rank * self._count * self._size

    def load(self, source: RowSource, step: int) -> Iterator[tuple[Stream, Tensor]]:
        for micro in range(self._count):
            self._heartbeat.beat_micro()
            start = self._first + micro * self._size
            inputs, targets = source.rows(step, start, start + self._size)
            yield self._tensors(inputs), self._tensors(targets)

    def _tensors(self, arrays: Any) -> Any:
        if isinstance(arrays, tuple):
            return tuple(self._tensors(array) for array in arrays)
        return torch.from_numpy(arrays).to(self._device)


class PlainTrainer:
    """Plain and ZeRO 0-3: every rank runs the whole model on its own rows."""

    def __init__(
        self, spec: Spec, engine: Any, loss: Loss, micro_batches: MicroBatches, breakdown: Breakdown, update: Update
    ) -> None:  # fmt: skip
        self._spec, self._engine, self._loss = spec, engine, loss
        self._micro_batches, self._breakdown, self._update = micro_batches, breakdown, update
        # Divides the sum of a rank's micro-batch means, so that all ranks add up to the mean over the global batch.
        # Tensor ranks process the same rows.
        self._shares = spec.accumulation * spec.parallel.data * spec.parallel.tensor

    def step(self, source: TrainingSource, step: int) -> Tensor:
        """One update. Returns this rank's share of the global mean loss; the shares of all ranks add up to it."""
        engine, phase = self._engine, self._breakdown.phase
        engine.train()
        self._loss.set_training(source.correction(step))
        micro_batches, total = self._micro_batches.load(source, step), torch.zeros((), device=engine.device)
        for micro in range(1, self._spec.accumulation + 1):
            with phase("data_wait_s", "load"):
                inputs, targets = next(micro_batches)
            with phase("forward_s"):
                loss = self._loss(engine(inputs), targets)
            with phase("backward_s"):
                engine.backward(loss)
            total += loss.detach()
            with phase("optimiser_s"):
                if micro == self._spec.accumulation:
                    self._update.agree_on_loss(total / self._shares)
                engine.step()  # updates after the last micro-batch only
        return total / self._shares

    @torch.no_grad()
    def validate(self, source: HeldOutSource) -> Tensor:
        """This rank's share of the mean loss over held-out sequences."""
        self._engine.eval()
        self._loss.set_evaluation(source.correction)
        total = torch.zeros((), device=self._engine.device)
        for batch in range(source.batches):
            for inputs, targets in self._micro_batches.load(source, batch):
                total += self._loss(self._engine(inputs), targets)
        return total / (self._shares * source.batches)

    def token_accuracy_counts(self) -> tuple[float, float]:
        """Correctly predicted targets and all targets of this rank in the newest validation."""
        return float(self._loss.num_correct), float(self._loss.num_targets)


class PipelineTrainer:
    """Pipeline: DeepSpeed's schedule moves micro-batches through the stages and returns the same loss on every rank."""

    def __init__(
        self, spec: Spec, engine: Any, loss: Loss, micro_batches: MicroBatches, breakdown: Breakdown, update: Update
    ) -> None:  # fmt: skip
        self._engine, self._loss, self._micro_batches = engine, loss, micro_batches
        self._world_size = spec.parallel.world_size
        self._shares = spec.accumulation * spec.parallel.data * spec.parallel.tensor
        _time_instructions(engine, breakdown, lambda: update.agree_on_loss(self._loss_share()))

    def step(self, source: TrainingSource, step: int) -> Tensor:
        self._loss.set_training(source.correction(step))
        return self._engine.train_batch(self._micro_batches.load(source, step)) / self._world_size

    def _loss_share(self) -> Tensor:
        """This rank's share of the loss before the update, when only the last stage has losses."""
        engine = self._engine
        if not engine.is_last_stage():
            return torch.zeros((), device=engine.device)
        return engine.total_loss / self._shares

    def validate(self, source: HeldOutSource) -> Tensor:
        self._loss.set_evaluation(source.correction)
        total = torch.zeros((), device=self._engine.device)
        for batch in range(source.batches):
            total += self._engine.eval_batch(self._micro_batches.load(source, batch)).squeeze()
        return total / (self._world_size * source.batches)

    def token_accuracy_counts(self) -> tuple[float, float]:
        """As for PlainTrainer; 0 and 0 except on the last stage, which computes the loss."""
        return float(self._loss.num_correct), float(self._loss.num_targets)


Trainer = PlainTrainer | PipelineTrainer

# Instruction -> its phase, and its name in the timeline.
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


def _time_instructions(engine: Any, breakdown: Breakdown, before_update: Callable[[], None]) -> None:
    """Wrap a phase around each instruction in the engine's table of instructions."""

    def timed(instruction: Any, phase: str, name: str) -> Any:
        def run(self: Any, **kwargs: Any) -> None:
            with breakdown.phase(phase, name):
                if name == "optimiser":
                    before_update()
                MethodType(instruction, self)(**kwargs)

        return run

    table = dict(engine._INSTRUCTION_MAP)
    engine._INSTRUCTION_MAP = table | {kind: timed(table[kind], *names) for kind, names in _PHASE_OF.items()}
