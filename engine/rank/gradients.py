"""The global gradient norm of a step, before clipping."""

from __future__ import annotations

from typing import Any

import torch
from deepspeed import comm
from torch import Tensor


class GradientNorm:
    """Reads the norm from the engine, or measures and clips itself where DeepSpeed reports none."""

    def __init__(self, clip: float) -> None:
        self.engine: Any = None
        self._clip = clip
        self._measured: Tensor | None = None
        self._model_group: Any = None
        self._is_first_shard = True

    def measure_before_each_step(self, optimiser: torch.optim.Optimizer, grid: Any | None) -> None:
        """Gradients of data ranks are averaged by then; stages and tensor ranks each hold their own part."""
        if grid is not None:
            self._model_group = grid.get_model_parallel_group()
            self._is_first_shard = grid.get_slice_parallel_rank() == 0
        optimiser.register_step_pre_hook(self._measure_and_clip)

    def _measure_and_clip(self, optimiser: torch.optim.Optimizer, *_: Any) -> None:
        parameters = [p for group in optimiser.param_groups for p in group["params"] if p.grad is not None]
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

    def read(self) -> float | None:
        """The last step's norm; None where the engine has none to give (a step skipped in fp16)."""
        norm = self._measured if self._measured is not None else self.engine.get_global_grad_norm()
        return None if norm is None else float(norm)
