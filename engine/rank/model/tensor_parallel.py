"""Tensor-parallel linear layers.

Megatron's scheme (Shoeybi et al., arXiv 1909.08053, sec. 3): the first matrix of a pair is split by output features,
so each rank computes some heads or hidden units; the second is split by input features, and its results are summed
over the ranks. Each pair needs one all-reduce of [B, S, H] in the forward pass and one in the backward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from deepspeed import comm
from torch import Tensor, nn


@dataclass(frozen=True)
class TensorShard:
    """The shard of each split parameter that a tensor rank holds: shard `rank` of `count` equal ones."""

    rank: int = 0
    count: int = 1
    group: Any = None


UNSHARDED = TensorShard()


@dataclass(frozen=True)
class ParameterSplit:
    """Split of a parameter: along `dim`, each section (such as query, key and value) is divided into equal shards."""

    dim: int
    sections: tuple[int, ...]

    def split(self, whole: Tensor, shard: TensorShard) -> Tensor:
        """Return one shard of the whole parameter."""
        sections = whole.split(self.sections, self.dim)
        return torch.cat([section.chunk(shard.count, self.dim)[shard.rank] for section in sections], self.dim)

    def join(self, shards: Sequence[Tensor]) -> Tensor:
        """Return the whole parameter from the shards of all tensor ranks, in order."""
        sizes = [size // len(shards) for size in self.sections]
        by_section = zip(*(shard.split(sizes, self.dim) for shard in shards), strict=True)
        return torch.cat([chunk for section in by_section for chunk in section], self.dim)


class ColumnLinear(nn.Linear):
    """[..., in] -> [..., out / ranks]: splits the output features. `sections` are their sizes before the split."""

    def __init__(self, inputs: int, sections: tuple[int, ...], bias: bool, shard: TensorShard) -> None:
        super().__init__(inputs, sum(sections) // shard.count, bias)
        self.shard = shard
        self.splits = {"weight": ParameterSplit(0, sections), "bias": ParameterSplit(0, sections)}

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(copy_to_shards(x, self.shard), self.weight, self.bias)


class RowLinear(nn.Linear):
    """[..., in / ranks] -> [..., out]: splits the input features, sums the results, then adds the whole bias."""

    def __init__(self, inputs: int, outputs: int, bias: bool, shard: TensorShard) -> None:
        super().__init__(inputs // shard.count, outputs, bias)
        self.shard = shard
        self.splits = {"weight": ParameterSplit(1, (inputs,))}

    def forward(self, x: Tensor) -> Tensor:
        if self.shard.count == 1:
            return F.linear(x, self.weight, self.bias)
        whole = reduce_from_shards(F.linear(x, self.weight), self.shard)
        return whole if self.bias is None else whole + self.bias


def collect_splits(layer: nn.Module) -> dict[str, ParameterSplit]:
    """Return the split of each tensor-parallel parameter by its name in the layer; the others are whole."""
    return {
        f"{name}.{leaf}" if name else leaf: split
        for name, module in layer.named_modules()
        for leaf, split in getattr(module, "splits", {}).items()
        if getattr(module, leaf) is not None
    }


def copy_to_shards(x: Tensor, shard: TensorShard) -> Tensor:
    """Return a tensor that every rank holds, whose gradient is the sum of those of all ranks."""
    return x if shard.count == 1 else _CopyToShards.apply(x, shard.group)


def sum_over_shards(x: Tensor, shard: TensorShard) -> Tensor:
    """Return the sum over the ranks, for a use that is different on each rank."""
    return copy_to_shards(reduce_from_shards(x, shard), shard)


def reduce_from_shards(x: Tensor, shard: TensorShard) -> Tensor:
    return x if shard.count == 1 else _ReduceFromShards.apply(x, shard.group)


class _CopyToShards(torch.autograd.Function):
    """Forward: identity. Backward: sum of the gradients of all shards."""

    @staticmethod
    def forward(context: Any, x: Tensor, group: Any) -> Tensor:
        context.group = group
        return x.view_as(x)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        gradient = gradient.contiguous()
        comm.all_reduce(gradient, group=context.group)
        return gradient, None


class _ReduceFromShards(torch.autograd.Function):
    """Forward: sum over the ranks. Backward: identity."""

    @staticmethod
    def forward(context: Any, x: Tensor, group: Any) -> Tensor:
        x = x.contiguous()
        comm.all_reduce(x, group=group)
        return x

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None
