"""Shards of parameters and optimiser state in DeepSpeed's optimiser wrappers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.checkpoints.tensor_split import TensorSplit

TIED_TO = "0.token.weight"


@dataclass(frozen=True)
class Shard:
    """The range of one parameter that this rank holds in fp32.

    `holder` is the tensor that the optimiser updates: the parameter itself, its fp32 copy, or a flat buffer of many.
    """

    name: str
    start: int  # offset in the flattened parameter of this tensor rank
    length: int
    holder: Tensor
    offset: int  # offset in the flattened holder

    def view_of(self, tensor: Tensor) -> Tensor:
        """Return the view of this shard in the holder, or in optimiser state of the same size."""
        return tensor.detach().view(-1).narrow(0, self.offset, self.length)


def named_parameters(engine: Any) -> dict[str, nn.Parameter]:
    """Return the trainable parameters of this rank by names that are the same in every layout."""
    return {
        TIED_TO if is_replica(parameter) else name: parameter
        for name, parameter in engine.module.named_parameters()
        if parameter.requires_grad
    }


def is_replica(parameter: nn.Parameter) -> bool:
    """Whether an earlier pipeline stage has the same weight: a head tied to the token embedding."""
    return getattr(parameter, "ds_pipe_replicated", False)


def collect_tensor_splits(model: nn.Module) -> dict[int, TensorSplit]:
    """Return the split of each tensor-parallel parameter by its id(); other parameters are whole on every rank."""
    found = {}
    for module in model.modules():
        for leaf, split in getattr(module, "splits", {}).items():
            parameter = getattr(module, leaf)
            if parameter is not None:
                found[id(parameter)] = TensorSplit(split.dim, split.sections)
    return found


def get_base_optimiser(engine: Any) -> torch.optim.Optimizer:
    """Return the torch optimiser inside DeepSpeed's wrapper."""
    return (
        engine.optimizer
        if isinstance(engine.optimizer, torch.optim.Optimizer)
        else engine.optimizer.optimizer
    )


def is_partitioned(engine: Any) -> bool:
    """Whether each data rank holds its own shards; else every data rank holds all values."""
    return not isinstance(engine.optimizer, torch.optim.Optimizer) and not hasattr(
        engine.optimizer, "fp32_groups"
    )


def iterate_shards(engine: Any) -> Iterator[Shard]:
    """Yield the shard of every parameter that this rank holds (DeepSpeed 0.19.8)."""
    wrapper, names = engine.optimizer, named_parameters(engine)
    if isinstance(wrapper, torch.optim.Optimizer):  # ZeRO 0 in fp32: no wrapper
        for name, parameter in names.items():
            yield Shard(name, 0, parameter.numel(), parameter, 0)
    elif hasattr(wrapper, "fp16_partitioned_groups_flat"):
        yield from _shards_of_stage_3(wrapper, names)
    elif hasattr(wrapper, "fp32_groups"):  # ZeRO 0 in bf16 or fp16: a copy of each parameter
        copies = {
            id(parameter): copy
            for parameters, masters in zip(wrapper.fp16_groups, wrapper.fp32_groups, strict=True)
            for parameter, copy in zip(parameters, masters, strict=True)
        }
        for name, parameter in names.items():
            yield Shard(name, 0, parameter.numel(), copies[id(parameter)], 0)
    else:
        yield from _shards_of_flat_groups(wrapper, names)


def _shards_of_flat_groups(wrapper: Any, names: dict[str, nn.Parameter]) -> Iterator[Shard]:
    """ZeRO 1 and 2, and a pipeline in bf16: one flat buffer per parameter group, partitioned over the data ranks."""
    flat = getattr(wrapper, "single_partition_of_fp32_groups", None) or wrapper.fp32_groups_flat_partition
    for name, parameter in names.items():
        mapping = parameter._hp_mapping
        if mapping is not None:
            in_buffer, in_parameter = mapping.hp_fragment_address, mapping.lp_fragment_address
            holder = flat[mapping.param_group_index]
            yield Shard(name, in_parameter.start, in_buffer.numel, holder, in_buffer.start)


def _shards_of_stage_3(wrapper: Any, names: dict[str, nn.Parameter]) -> Iterator[Shard]:
    """ZeRO 3: every parameter is partitioned over the data ranks; the last partition ends in padding."""
    assert not getattr(wrapper, "swap_optimizer", False), "optimiser state on disk must be swapped in first"
    for name, parameter in names.items():
        group, offset, size = wrapper.grad_position[wrapper.get_param_id(parameter)]
        start = wrapper._get_param_partition_rank(parameter) * size
        length = min(size, parameter.ds_numel - start)
        if length > 0:
            yield Shard(name, start, length, wrapper.fp32_partitioned_groups_flat[group], offset)
