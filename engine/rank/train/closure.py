"""Trainer of optimisers with a closure, such as L-BFGS."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from engine.rank.measure.breakdown import Breakdown
from engine.rank.model.loss import Loss
from engine.rank.train.trainers import MicroBatches, PlainTrainer, TrainingSource
from engine.rank.train.update import Update
from engine.spec.spec import Spec


class ClosureTrainer(PlainTrainer):
    """One rank, ZeRO 0, fp32, every step on the same rows (L-BFGS: Liu and Nocedal, Math. Programming 45, 1989).
    DeepSpeed's engine holds the model but does not run the step, because it cannot evaluate the loss again."""

    def __init__(
        self, spec: Spec, engine: Any, loss: Loss, micro_batches: MicroBatches, breakdown: Breakdown, update: Update
    ) -> None:  # fmt: skip
        super().__init__(spec, engine, loss, micro_batches, breakdown, update)
        self._parameters = [p for p in engine.module.parameters() if p.requires_grad]

    def step(self, source: TrainingSource, step: int) -> Tensor:
        self._engine.train()
        self._loss.set_training(source.correction(step))
        losses: list[Tensor] = []

        def evaluate() -> Tensor:
            self._engine.module.zero_grad()
            losses.append(self._all_rows(source))
            if len(losses) == 1:
                self._update.set_gradient_norm(
                    torch.nn.utils.get_total_norm([p.grad for p in self._parameters])
                )
            return losses[-1] + self._decay()

        self._engine.optimizer.step(evaluate)
        return losses[0]

    def _all_rows(self, source: TrainingSource) -> Tensor:
        """The mean loss over all rows. Leaves its gradients in the parameters."""
        phase, total = self._breakdown.phase, torch.zeros((), device=self._engine.device)
        micro_batches = self._micro_batches.load(source, 0)
        for _ in range(self._spec.accumulation):
            with phase("data_wait_s", "load"):
                inputs, targets = next(micro_batches)
            with phase("forward_s"):
                loss = self._loss(self._engine.module(inputs), targets) / self._shares
            with phase("backward_s"):
                loss.backward()
            total += loss.detach()
        return total

    def _decay(self) -> Tensor:
        """The L2 penalty of all matrices, half the decay times their squares. Adds its gradient to theirs."""
        decay, total = self._spec.optimiser.weight_decay, torch.zeros((), device=self._engine.device)
        if decay:
            for parameter in self._parameters:
                if parameter.dim() >= 2 and parameter.grad is not None:
                    parameter.grad.add_(parameter.detach(), alpha=decay)
                    total += decay / 2 * parameter.detach().square().sum()
        return total
