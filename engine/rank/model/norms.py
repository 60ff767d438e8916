"""Norms of the residual stream, and of queries and keys."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from engine.rank.model.tensor_parallel import ParameterSplit, TensorShard, copy_to_shards, sum_over_shards
from engine.spec.spec import Spec


def build_norm(spec: Spec) -> nn.Module:
    model = spec.model
    if model.norm == "rmsnorm":
        return nn.RMSNorm(model.width, eps=model.norm_epsilon)  # Zhang and Sennrich, arXiv 1910.07467
    return nn.LayerNorm(model.width, eps=model.norm_epsilon)


class HeadNorm(nn.RMSNorm):
    """RMSNorm of each head [B, S, A, D]. Every tensor rank holds the weight and sees the gradient of its heads alone,
    so the gradients are summed."""

    def __init__(self, size: int, epsilon: float, shard: TensorShard) -> None:
        super().__init__(size, eps=epsilon)
        self.shard = shard

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.normalized_shape, copy_to_shards(self.weight, self.shard), self.eps)


class FullNorm(nn.RMSNorm):
    """RMSNorm over the features of all heads [B, S, A x D], which tensor ranks share."""

    def __init__(self, size: int, epsilon: float, shard: TensorShard) -> None:
        super().__init__(size // shard.count, eps=epsilon)
        self.shard, self.size = shard, size
        self.splits = {"weight": ParameterSplit(0, (size,))}

    def forward(self, x: Tensor) -> Tensor:
        if self.shard.count == 1:
            return super().forward(x)
        wide = x.float()
        square = sum_over_shards(wide.square().sum(-1, keepdim=True), self.shard) / self.size
        assert self.eps is not None
        return (wide * (square + self.eps).rsqrt()).to(x.dtype) * self.weight
