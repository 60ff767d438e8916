"""State of a rank, saved from and loaded into an engine in any layout."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from deepspeed.runtime.zero.partition_parameters import ZeroParamStatus
from torch import Tensor, nn

from engine.checkpoints.counters import NO_COUNTERS, Counters
from engine.checkpoints.folder import DamagedCheckpointError
from engine.checkpoints.initial_weights import InitialWeights
from engine.checkpoints.origin import ResumeOrigin
from engine.checkpoints.sharded_checkpoint import (
    RANDOM_STATE,
    WEIGHT,
    ShardedCheckpoint,
    rank_file_name,
    shard_key,
)
from engine.checkpoints.soundness import OpenCheckpoint
from engine.checkpoints.spec_changes import describe_changes, find_changes
from engine.checkpoints.tensor_split import Array, extract_part, join_shape
from engine.checkpoints.tensors import TensorFileError
from engine.rank.checkpoint.layout import (
    RANDOM_STATE_FIELDS,
    describe_layout,
    describe_layout_change,
    refuse_other_model,
)
from engine.rank.checkpoint.position import RankPosition
from engine.rank.checkpoint.random_states import read_random_states, restore_random_states
from engine.rank.checkpoint.shards import (
    TIED_TO,
    Shard,
    collect_tensor_splits,
    get_base_optimiser,
    is_partitioned,
    is_replica,
    iterate_shards,
    named_parameters,
)
from engine.rank.train.loss_scale import loss_scale, scale_holders
from engine.spec.spec import Spec


@dataclass(frozen=True)
class RankSnapshot:
    """State that one rank saves at a step boundary."""

    tensors: dict[str, Tensor]
    own: dict[str, Any]


@dataclass(frozen=True)
class RestoredState:
    """Result of loading a checkpoint or initial weights, with notes for the run."""

    step: int
    best_loss: float | None
    notes: tuple[str, ...]
    counters: Counters = NO_COUNTERS
    origin: ResumeOrigin | None = None
    level: str = "info"  # of the notes


def take_snapshot(
    engine: Any, spec: Spec, position: RankPosition, copy: Callable[[str, Tensor], Tensor]
) -> RankSnapshot:
    """Return this rank's state; `copy` receives the key and values of each tensor and returns the copy.

    State that data ranks replicate is divided among them. State that tensor ranks replicate is saved by the first one.
    """
    parameters, states = named_parameters(engine), _optimiser_states(engine, spec)
    found, tables, scalars, shapes, splits = {}, {}, {}, {}, collect_tensor_splits(engine.module)
    for name, parameter in parameters.items():
        split = splits.get(id(parameter))
        shape = tuple(getattr(parameter, "ds_shape", parameter.shape))
        tables[name] = {"shape": join_shape(shape, split), "cut": split.to_json() if split else None}
    for shard in iterate_shards(engine):
        parameter = parameters[shard.name]
        is_split = id(parameter) in splits
        if is_replica(parameter) or (position.tensor_rank and not is_split):
            continue
        first, last = (0, shard.length) if is_partitioned(engine) else _share_of_range(shard.length, position)
        if first == last:
            continue
        part = position.tensor_rank if is_split else 0
        for kind, values in _elementwise_state(shard, states.get(shard.holder, {}), scalars).items():
            key = shard_key(kind, shard.name, part, shard.start + first)
            found[key] = copy(key, values[first:last])
        if position.data_rank == 0:
            for kind, value in _other_shape_state(shard, states.get(shard.holder, {})).items():
                key = shard_key(kind, shard.name, 0, 0)
                found[key] = copy(key, value.detach().reshape(-1))
                shapes[f"{kind}|{shard.name}"] = list(value.shape)
    found |= {
        f"{RANDOM_STATE}|{device}": copy(device, state)
        for device, state in read_random_states(engine).items()
    }
    own = {"parameters": tables, "scalars": scalars, "shapes": shapes, "loss_scale": loss_scale(engine)}
    own["skipped_steps"] = engine.skipped_steps
    if hasattr(engine.module, "micro_offset"):
        own["micro_offset"] = engine.module.micro_offset
    return RankSnapshot(found, own)


def resume(
    checkpoint: OpenCheckpoint, engine: Any, spec: Spec, dtype: str, position: RankPosition
) -> RestoredState:
    """Load a checkpoint of any layout into the engine of this rank.

    Raises ResumeError if it is of another model or optimiser, or has values that cannot be loaded.
    """
    manifest, shards, step = checkpoint.manifest, checkpoint.shards, checkpoint.step
    before, now = manifest["layout"], describe_layout(spec, dtype)
    refuse_other_model(before, now, checkpoint.path.name)
    own = shards.own.get(rank_file_name(position.rank)) or shards.own[rank_file_name(0)]
    counters = Counters.from_manifest(manifest) or NO_COUNTERS.after(step, spec)
    is_same = all(before.get(key) == now[key] for key in RANDOM_STATE_FIELDS)
    try:
        load_weights(engine, shards.part, position)
        _load_optimiser(engine, shards, own.scalars, position)
        restore_random_states(engine, shards, position, own, spec, step, is_same)
    except (TensorFileError, KeyError, RuntimeError) as error:
        if checkpoint.has_checksums and isinstance(
            error, RuntimeError
        ):  # its values are right: out of memory
            raise
        reason = f"{type(error).__name__}: {error}".rstrip(".")
        raise DamagedCheckpointError(
            f"The checkpoint {checkpoint.path.name} is damaged: its state cannot be loaded ({reason})."
        ) from error
    engine.global_steps = step
    engine.micro_steps = step * spec.accumulation
    engine.global_samples = counters.samples
    engine.skipped_steps = own.skipped_steps
    for holder in scale_holders(engine):
        for name, value in own.loss_scale.items():
            if hasattr(holder, name):
                setattr(holder, name, value)
    changes = find_changes(manifest["spec"], spec)
    notes = (
        "" if is_same else describe_layout_change(before, now, spec.model.dropout > 0),
        describe_changes(changes, counters, spec),
    )
    learned = tuple(str(change) for change in changes if not change.is_harmless)
    origin = ResumeOrigin(checkpoint.path, checkpoint.has_checksums, learned)
    level = "warning" if learned else "info"
    return RestoredState(step, manifest.get("best_loss"), tuple(filter(None, notes)), counters, origin, level)


def load_initial_weights(
    initial_weights: InitialWeights, engine: Any, spec: Spec, position: RankPosition
) -> str:
    """Load weights without optimiser state into a new engine and return a note for the run.

    Raises SpecError if the weights do not fit the spec.
    """
    initial_weights.refuse_misfit(spec)
    splits, parameters = collect_tensor_splits(engine.module), named_parameters(engine)

    def read(kind: str, name: str, index: int, parts: int, first: int, last: int) -> Array | None:
        if initial_weights.keeps_initial_values(name, spec):
            return None
        split = splits.get(id(parameters[name]))
        return extract_part(initial_weights.parameter(name), split, index, parts).reshape(-1)[first:last]

    load_weights(engine, read, position)
    head = " The head is new." if initial_weights.origin.has_other_head(spec) else ""
    trained = ""
    if spec.adapter.is_on:
        old = initial_weights.continues_adapters(spec)
        trained = " They stay frozen; " + (
            "its adapters are trained on." if old else "new adapters are trained."
        )
    return f"Started from the weights of {initial_weights.origin.title} with a new optimiser state.{trained}{head}"


@torch.no_grad()
def load_frozen(model: nn.Module, frozen: InitialWeights, position: RankPosition) -> None:
    """Load the frozen weights into a model that no engine has yet: ZeRO 3 divides them and keeps no master copy."""
    splits = collect_tensor_splits(model)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            continue
        whole = frozen.whole(TIED_TO if is_replica(parameter) else name)
        part = extract_part(whole, splits.get(id(parameter)), position.tensor_rank, position.tensor)
        parameter.copy_(torch.from_numpy(np.ascontiguousarray(part)))


# (kind, parameter, tensor part, number of parts, start, stop) -> values, or None to keep the present ones
ReadValues = Callable[[str, str, int, int, int, int], "Array | None"]


@torch.no_grad()
def load_weights(engine: Any, read: ReadValues, position: RankPosition) -> None:
    """Load the weights of the model and the fp32 master copies of the optimiser."""
    for name, parameter in named_parameters(engine).items():
        if hasattr(parameter, "ds_id") and parameter.ds_status != ZeroParamStatus.AVAILABLE:
            continue
        values = read(WEIGHT, name, position.tensor_rank, position.tensor, 0, parameter.numel())
        if values is not None:
            parameter.copy_(torch.from_numpy(values).view(parameter.shape))
    for shard in iterate_shards(engine):
        stop = shard.start + shard.length
        values = read(WEIGHT, shard.name, position.tensor_rank, position.tensor, shard.start, stop)
        if values is not None:
            shard.view_of(shard.holder).copy_(torch.from_numpy(values))
    _copy_masters_to_partitions(engine)


def _share_of_range(length: int, position: RankPosition) -> tuple[int, int]:
    return length * position.data_rank // position.data, length * (position.data_rank + 1) // position.data


def _elementwise_state(
    shard: Shard, state: Mapping[str, Any], scalars: dict[str, float]
) -> dict[str, Tensor]:
    """Return weights and elementwise optimiser state; single values (the step count) are added to `scalars`."""
    found = {WEIGHT: shard.view_of(shard.holder)}
    for kind, value in state.items():
        if isinstance(value, Tensor) and value.numel() == shard.holder.numel() and value.dim() > 0:
            found[kind] = shard.view_of(value)
        elif value is not None and not _has_other_shape(shard, value):
            scalars[kind] = float(value)
    return found


def _other_shape_state(shard: Shard, state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return optimiser state with another shape than the parameter (Adafactor's row and column means).

    No layout splits it.
    """
    return {kind: value for kind, value in state.items() if _has_other_shape(shard, value)}


def _has_other_shape(shard: Shard, value: Any) -> bool:
    return isinstance(value, Tensor) and value.dim() > 0 and value.numel() != shard.holder.numel()


def _optimiser_states(engine: Any, spec: Spec) -> Mapping[Tensor, Mapping[str, Any]]:
    """Return the optimiser state by parameter; empty for an optimiser whose state is not saved."""
    return get_base_optimiser(engine).state if spec.optimiser.row.is_state_saved else {}


@torch.no_grad()
def _load_optimiser(
    engine: Any, checkpoint: ShardedCheckpoint, scalars: Mapping[str, float], position: RankPosition
) -> None:
    states = get_base_optimiser(engine).state
    shapes = {key: shape for own in checkpoint.own.values() for key, shape in own.shapes.items()}
    for shard in iterate_shards(engine):
        state = states[shard.holder]
        for kind in checkpoint.kinds(shard.name):
            if kind == WEIGHT:
                continue
            if shape := shapes.get(f"{kind}|{shard.name}"):
                values = checkpoint.part(kind, shard.name, 0, 1, 0, math.prod(shape))
                state[kind] = torch.from_numpy(values).reshape(shape).to(shard.holder.device)
                continue
            if kind not in state:
                state[kind] = torch.zeros_like(shard.holder, requires_grad=False)
            stop = shard.start + shard.length
            values = checkpoint.part(
                kind, shard.name, position.tensor_rank, position.tensor, shard.start, stop
            )
            shard.view_of(state[kind]).copy_(torch.from_numpy(values))
        for kind, value in scalars.items():
            # A tensor on the device of the holder, as torch's fused optimisers store their step count.
            state[kind] = torch.tensor(value, dtype=torch.float32, device=shard.holder.device)
    if hasattr(engine.optimizer, "_hp_optimizer_states_linked"):
        engine.optimizer._hp_optimizer_states_linked = False  # the next step links them again


def _copy_masters_to_partitions(engine: Any) -> None:
    """Copy the fp32 partitions of ZeRO 3 into the partitions in the run's number format, which train."""
    wrapper = engine.optimizer
    for share, master in zip(
        getattr(wrapper, "fp16_partitioned_groups_flat", ()),
        getattr(wrapper, "fp32_partitioned_groups_flat", ()),
        strict=True,
    ):
        share.copy_(master)
