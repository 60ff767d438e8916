"""The moment of the update: the gradient norm before clipping, and updates that are held back."""

from __future__ import annotations

import math
from typing import Any

import torch
from deepspeed import comm
from torch import Tensor

from engine.rank.train.divergence import DivergenceGuard


class Update:
    """Stands before the optimiser's own step, which DeepSpeed's wrappers call once gradients are averaged.

    Reads the global gradient norm from the engine, or measures and clips where DeepSpeed 0.19.8 reports none (ZeRO 0
    in fp32). Under the policy 'skip' the ranks agree on the loss first: one all-reduce of one number a step.
    """

    def __init__(self, clip: float, guard: DivergenceGuard) -> None:
        self.engine: Any = None
        self._clip, self._guard = clip, guard
        self._optimiser: Any = None
        self._measures = False
        self._measured: Tensor | None = None
        self._model_group: Any = None
        self._is_first_shard = True
        self._is_skipped = False

    def attach(self, optimiser: torch.optim.Optimizer, grid: Any | None, measures: bool) -> None:
        """Before DeepSpeed wraps anything. Stages and tensor ranks each hold their own part of the gradients."""
        self._optimiser, self._measures = optimiser, measures
        if grid is not None:
            self._model_group = grid.get_model_parallel_group()
            self._is_first_shard = grid.get_slice_parallel_rank() == 0
        original = optimiser.step

        def step(*arguments: Any, **named: Any) -> Any:
            if self._measures:
                self._measure_and_clip()
            return None if self._skips() else original(*arguments, **named)

        optimiser.step = step  # type: ignore[method-assign]

    def agree_on_loss(self, loss_share: Tensor) -> None:
        """Before the update, once all of a step's losses are known: whether it may happen. Collective under 'skip'."""
        if self._guard.policy == "skip":
            loss = loss_share.detach().double()
            comm.all_reduce(loss)
            self._is_skipped = bool(self._guard.detect_divergence(float(loss)))

    def gradient_norm(self) -> float | None:
        """The last step's norm; None where the engine has none to give (a step skipped in fp16)."""
        norm = self._measured if self._measures else self.engine.get_global_grad_norm()
        return None if norm is None else float(norm)

    def set_gradient_norm(self, norm: Tensor) -> None:
        """For a trainer that has no gradients left when its step is done."""
        self._measures, self._measured = True, norm

    def _skips(self) -> bool:
        if self._guard.policy != "skip":
            return False
        return self._is_skipped or (self._measured is not None and not math.isfinite(float(self._measured)))

    def _measure_and_clip(self) -> None:
        groups = self._optimiser.param_groups
        parameters = [p for group in groups for p in group["params"] if p.grad is not None]
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if self._counts(p)])
        if self._model_group is not None:
            squared = norm.square().to(parameters[0].device)
            comm.all_reduce(squared, group=self._model_group)
            norm = squared.sqrt()
        if self._clip > 0:
            torch.nn.utils.clip_grads_with_norm_(parameters, self._clip, norm)
        self._measured = norm

    def _counts(self, parameter: Tensor) -> bool:
        """Once in the sum: of a tied pair the first stage's copy, of what every tensor rank has, the first one's."""
        if getattr(parameter, "ds_pipe_replicated", False):
            return False
        return self._is_first_shard or getattr(parameter, "tensor_model_parallel", False)
