"""Gradient norm before clipping, and skipped updates."""

from __future__ import annotations

import math
from typing import Any

import torch
from deepspeed import comm
from torch import Tensor

from engine.rank.train.divergence import DivergenceGuard


class Update:
    """Wraps the optimiser's step, which DeepSpeed's wrappers call with averaged gradients.

    Reads the global gradient norm from the engine, or measures and clips where DeepSpeed 0.19.8 reports none (ZeRO 0
    in fp32). Under the policy 'skip' the ranks first agree on the loss: one all-reduce of one number per step.
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
        """Called before DeepSpeed wraps the optimiser. Each stage and tensor rank has its own part of the gradients."""
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
        """Decide whether to skip the update, once all losses of the step are known. Collective under 'skip'."""
        if self._guard.policy == "skip":
            loss = loss_share.detach().double()
            comm.all_reduce(loss)
            self._is_skipped = bool(self._guard.detect_divergence(float(loss)))

    def gradient_norm(self) -> float | None:
        """The norm of the last step; None if the engine has none (a step that fp16 skipped)."""
        norm = self._measured if self._measures else self.engine.get_global_grad_norm()
        return None if norm is None else float(norm)

    def set_gradient_norm(self, norm: Tensor) -> None:
        """For a trainer whose gradients are gone after its step."""
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
        """Whether this copy counts in the norm: of tied weights only the copy of the first stage, of replicated weights
        only the copy of the first tensor rank."""
        if getattr(parameter, "ds_pipe_replicated", False):
            return False
        return self._is_first_shard or getattr(parameter, "tensor_model_parallel", False)
