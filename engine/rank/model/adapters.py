"""Low-rank adapters beside frozen linear layers (LoRA: Hu et al., arXiv 2106.09685).

y = W x + alpha / rank B A x. Under tensor parallelism an adapter follows its matrix: of one split by output features B
is split and A x is the same on every rank; of one split by input features A is split and A x is summed over the ranks.
Both exchange [.., rank], not [.., width].
"""

from __future__ import annotations

import math
import zlib
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.rank.model.tensor_parallel import (
    ColumnLinear,
    ParameterSplit,
    RowLinear,
    TensorShard,
    copy_to_shards,
    reduce_from_shards,
)
from engine.spec.adapters import FUSED, HEAD, find_parts, list_matrices
from engine.spec.parts import Adapter
from engine.spec.spec import Spec

MODULE = "adapter"  # in the linear layer
A, B = "lora_A", "lora_B"


class LowRankAdapter(nn.Module):
    """[..., in] -> [..., out], with A [rank, in] and B [out, rank] of this tensor rank."""

    def __init__(
        self, chosen: Adapter, linear: nn.Linear, sections: tuple[int, ...], shard: TensorShard
    ) -> None:
        super().__init__()
        self.scale, self.dropout, self.shard = chosen.alpha / chosen.rank, chosen.dropout, shard
        self.is_row = isinstance(linear, RowLinear)
        self.splits: dict[str, ParameterSplit] = {}
        outputs = sum(sections) // shard.count if isinstance(linear, ColumnLinear) else sum(sections)
        if isinstance(linear, ColumnLinear):
            self.splits = {B: ParameterSplit(0, sections)}
        elif self.is_row:
            self.splits = {A: ParameterSplit(1, (linear.in_features * shard.count,))}
        self.lora_A = nn.Parameter(torch.empty(chosen.rank, linear.in_features))
        self.lora_B = nn.Parameter(torch.zeros(outputs, chosen.rank))

    def forward(self, x: Tensor) -> Tensor:
        h = F.linear(self._drop(x), self.lora_A)
        h = reduce_from_shards(h, self.shard) if self.is_row else copy_to_shards(h, self.shard)
        return F.linear(h, self.lora_B) * self.scale

    def _drop(self, x: Tensor) -> Tensor:
        """Drop inputs. Tensor ranks have one random state, so a rank with a part of the inputs draws for all of them:
        the parts would be dropped alike otherwise, and not as on one rank."""
        if not self.training or self.dropout == 0:
            return x
        if not self.is_row or self.shard.count == 1:
            return F.dropout(x, self.dropout)
        mask = F.dropout(x.new_ones(*x.shape[:-1], x.shape[-1] * self.shard.count), self.dropout)
        return x * mask.chunk(self.shard.count, -1)[self.shard.rank]


class MatrixAdapters(nn.ModuleDict):
    """The adapters of one matrix, by the name of the part of its output that each adds to."""

    def __init__(
        self, chosen: Adapter, linear: nn.Linear, parts: tuple[str, ...], leaf: str, shard: TensorShard
    ) -> None:
        super().__init__()
        split = getattr(linear, "splits", {}).get("weight")
        whole = split.sections if split is not None and split.dim == 0 else (linear.out_features,)
        is_fused = leaf in FUSED and parts != (leaf,)
        self.names = FUSED[leaf] if is_fused else (leaf,)
        sections = [(size,) for size in whole] if is_fused else [whole]
        count = shard.count if isinstance(linear, ColumnLinear) else 1
        self.sizes = [sum(section) // count for section in sections]
        for name, section in zip(self.names, sections, strict=True):
            if name in parts:
                self[name] = LowRankAdapter(chosen, linear, section, shard)

    def forward(self, x: Tensor, out: Tensor) -> Tensor:
        if len(self.sizes) == 1:
            return out + self[self.names[0]](x)
        pieces = zip(self.names, out.split(self.sizes, -1), strict=True)
        return torch.cat([piece + self[name](x) if name in self else piece for name, piece in pieces], -1)


def attach_adapters(spec: Spec, index: int, layer: nn.Module, shard: TensorShard) -> None:
    """Freeze a layer and add its adapters, with the same initial values in every layout. Does nothing without adapters.

    A head of classes stays trainable: no weights to start from have it.
    """
    if not spec.adapter.is_on or (isinstance(layer, nn.Linear) and spec.data.objective == "classes"):
        return
    layer.requires_grad_(False)
    known = {name for number, name in list_matrices(spec.model) if number == index}
    for name, linear in list(layer.named_modules()):
        name = name or HEAD
        parts = find_parts(spec.adapter.targets, index, name) if name in known else ()
        if not parts:
            continue
        assert isinstance(linear, nn.Linear)
        adapters = MatrixAdapters(spec.adapter, linear, parts, name.rpartition(".")[2], shard)
        for part, adapter in adapters.items():
            assert isinstance(adapter, LowRankAdapter)
            _initialise(adapter, zlib.crc32(f"{spec.seed} {index}.{name}.{part}".encode()))
        linear.add_module(MODULE, adapters)
        linear.register_forward_hook(_add_adapters)


def _add_adapters(linear: nn.Module, inputs: tuple[Any, ...], out: Tensor) -> Tensor:
    changed: Tensor = linear.get_submodule(MODULE)(inputs[0], out)
    return changed


@torch.no_grad()
def _initialise(adapter: LowRankAdapter, seed: int) -> None:
    """B is 0, so training starts at the frozen weights. A is uniform, as nn.Linear and peft start it."""
    split, rank = adapter.splits.get(A), adapter.lora_A.shape[0]
    inputs = split.sections[0] if split else adapter.lora_A.shape[1]
    bound = 1 / math.sqrt(inputs)
    whole = torch.empty(rank, inputs).uniform_(-bound, bound, generator=torch.Generator().manual_seed(seed))
    adapter.lora_A.copy_(split.split(whole, adapter.shard) if split else whole)
    for name in (A, B):
        adapter.get_parameter(name).tensor_model_parallel = name in adapter.splits  # type: ignore[attr-defined]
