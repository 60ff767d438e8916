"""Which stretch of each parameter this rank keeps in fp32, with optimiser state, under any of DeepSpeed's wrappers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.checkpoints.cut import Cut

TIED_TO = "0.token.weight"


@dataclass(frozen=True)
class Fragment:
    """A stretch of one parameter. The holder is the tensor that the optimiser steps: the parameter itself, an fp32 copy
    of it, or a flat buffer of many."""

    name: str
    start: int  # in the flattened parameter, as this tensor rank has it
    length: int
    holder: Tensor
    offset: int  # in the flattened holder

    def of(self, tensor: Tensor) -> Tensor:
        """Its values in the holder, or in a state of the same size."""
        return tensor.detach().view(-1).narrow(0, self.offset, self.length)


def named_parameters(engine: Any) -> dict[str, nn.Parameter]:
    """What this rank has of the model, by the names that are the same in every layout."""
    return {
        TIED_TO if is_replica(parameter) else name: parameter
        for name, parameter in engine.module.named_parameters()
        if parameter.requires_grad
    }


def is_replica(parameter: nn.Parameter) -> bool:
    """Whether an earlier stage of the pipeline has the same weight: the head, where it is the token embedding."""
    return getattr(parameter, "ds_pipe_replicated", False)


def cuts(engine: Any) -> dict[int, Cut]:
    """How tensor parallelism shares parameters, by their id(); all others are whole on every tensor rank."""
    found = {}
    for module in engine.module.modules():
        for leaf, split in getattr(module, "splits", {}).items():
            parameter = getattr(module, leaf)
            if parameter is not None:
                found[id(parameter)] = Cut(split.dim, split.parts)
    return found


def base_optimiser(engine: Any) -> torch.optim.Optimizer:
    """The optimiser of torch inside DeepSpeed's wrapper."""
    return (
        engine.optimizer
        if isinstance(engine.optimizer, torch.optim.Optimizer)
        else engine.optimizer.optimizer
    )


def is_shared_out(engine: Any) -> bool:
    """Whether the fragments of the data ranks differ; else each keeps everything."""
    return not isinstance(engine.optimizer, torch.optim.Optimizer) and not hasattr(
        engine.optimizer, "fp32_groups"
    )


def fragments(engine: Any) -> Iterator[Fragment]:
    """Of every parameter of which this rank keeps anything (DeepSpeed 0.19.8)."""
    wrapper, names = engine.optimizer, named_parameters(engine)
    if isinstance(wrapper, torch.optim.Optimizer):  # ZeRO 0 in fp32: no wrapper
        for name, parameter in names.items():
            yield Fragment(name, 0, parameter.numel(), parameter, 0)
    elif hasattr(wrapper, "fp16_partitioned_groups_flat"):
        yield from _of_stage_3(wrapper, names)
    elif hasattr(wrapper, "fp32_groups"):  # ZeRO 0 in bf16 or fp16: a copy of each parameter
        copies = {
            id(parameter): copy
            for group, of_group in zip(wrapper.fp16_groups, wrapper.fp32_groups, strict=True)
            for parameter, copy in zip(group, of_group, strict=True)
        }
        for name, parameter in names.items():
            yield Fragment(name, 0, parameter.numel(), copies[id(parameter)], 0)
    else:
        yield from _of_flat_groups(wrapper, names)


def _of_flat_groups(wrapper: Any, names: dict[str, nn.Parameter]) -> Iterator[Fragment]:
    """ZeRO 1 and 2, and a pipeline in bf16: one flat buffer per group of parameters, cut over the data ranks."""
    flat = getattr(wrapper, "single_partition_of_fp32_groups", None) or wrapper.fp32_groups_flat_partition
    for name, parameter in names.items():
        place = parameter._hp_mapping
        if place is not None:
            kept, of = place.hp_fragment_address, place.lp_fragment_address
            yield Fragment(name, of.start, kept.numel, flat[place.param_group_index], kept.start)


def _of_stage_3(wrapper: Any, names: dict[str, nn.Parameter]) -> Iterator[Fragment]:
    """ZeRO 3: every parameter is cut over the data ranks; the last share ends in padding."""
    assert not getattr(wrapper, "swap_optimizer", False), "optimiser state on disk must be swapped in first"
    for name, parameter in names.items():
        group, offset, share = wrapper.grad_position[wrapper.get_param_id(parameter)]
        start = wrapper._get_param_partition_rank(parameter) * share
        length = min(share, parameter.ds_numel - start)
        if length > 0:
            yield Fragment(name, start, length, wrapper.fp32_partitioned_groups_flat[group], offset)
