"""Matrices cut over the ranks of a tensor-parallel group, and the two collectives that make them whole again.

Megatron's scheme (Shoeybi et al., arXiv 1909.08053, sec. 3): the first matrix of a pair is cut by rows of its weight,
so each rank computes some heads or hidden units; the second by columns, and its results are added over the ranks. One
all-reduce of [B, S, H] per pair in the forward pass, one in the backward pass.
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
class Shard:
    """Which of how many equal shares of each cut matrix a rank holds."""

    rank: int = 0
    of: int = 1
    group: Any = None


WHOLE = Shard()


@dataclass(frozen=True)
class Split:
    """How a parameter is cut: along `dim`, each of its parts (queries, keys and values, say) into equal shares."""

    dim: int
    parts: tuple[int, ...]

    def cut(self, whole: Tensor, shard: Shard) -> Tensor:
        pieces = [part.chunk(shard.of, self.dim)[shard.rank] for part in whole.split(self.parts, self.dim)]
        return torch.cat(pieces, self.dim)

    def join(self, shares: Sequence[Tensor]) -> Tensor:
        """The whole parameter from the shares of all tensor ranks, in their order."""
        sizes = [part // len(shares) for part in self.parts]
        by_part = zip(*(share.split(sizes, self.dim) for share in shares), strict=True)
        return torch.cat([piece for pieces in by_part for piece in pieces], self.dim)


class ColumnLinear(nn.Linear):
    """[..., in] -> [..., out / ranks]: the output features are shared out. `parts` are their whole sizes."""

    def __init__(self, inputs: int, parts: tuple[int, ...], bias: bool, shard: Shard) -> None:
        super().__init__(inputs, sum(parts) // shard.of, bias)
        self.shard = shard
        self.splits = {"weight": Split(0, parts), "bias": Split(0, parts)}

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(_into_shards(x, self.shard), self.weight, self.bias)


class RowLinear(nn.Linear):
    """[..., in / ranks] -> [..., out]: the input features are shared out, results are added; all have the bias."""

    def __init__(self, inputs: int, outputs: int, bias: bool, shard: Shard) -> None:
        super().__init__(inputs // shard.of, outputs, bias)
        self.shard = shard
        self.splits = {"weight": Split(1, (inputs,))}

    def forward(self, x: Tensor) -> Tensor:
        if self.shard.of == 1:
            return F.linear(x, self.weight, self.bias)
        whole = _out_of_shards(F.linear(x, self.weight), self.shard)
        return whole if self.bias is None else whole + self.bias


def splits_of(layer: nn.Module) -> dict[str, Split]:
    """How each parameter that tensor parallelism cuts is cut, by its name in the layer; all others are whole."""
    return {
        f"{name}.{leaf}" if name else leaf: split
        for name, module in layer.named_modules()
        for leaf, split in getattr(module, "splits", {}).items()
        if getattr(module, leaf) is not None
    }


def _into_shards(x: Tensor, shard: Shard) -> Tensor:
    return x if shard.of == 1 else _IntoShards.apply(x, shard.group)


def _out_of_shards(x: Tensor, shard: Shard) -> Tensor:
    return x if shard.of == 1 else _OutOfShards.apply(x, shard.group)


class _IntoShards(torch.autograd.Function):
    """Forward: as it is. Backward: each rank has the gradient through its own share; their sum is the gradient."""

    @staticmethod
    def forward(context: Any, x: Tensor, group: Any) -> Tensor:
        context.group = group
        return x.view_as(x)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        gradient = gradient.contiguous()
        comm.all_reduce(gradient, group=context.group)
        return gradient, None


class _OutOfShards(torch.autograd.Function):
    """Forward: the sum over the ranks. Backward: as it is."""

    @staticmethod
    def forward(context: Any, x: Tensor, group: Any) -> Tensor:
        x = x.contiguous()
        comm.all_reduce(x, group=group)
        return x

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None
