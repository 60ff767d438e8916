"""A run's whole state out of an engine and into one: the values themselves, in the layout-free form."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from deepspeed.runtime.zero.partition_parameters import ZeroParamStatus
from torch import Tensor

from engine.checkpoints.cut import Array, part_of, whole_shape
from engine.checkpoints.folder import ResumeError, read_manifest
from engine.checkpoints.pieces import RANDOM, WEIGHT, Pieces, key_of, rank_file
from engine.checkpoints.start import Start
from engine.directory import Seat
from engine.rank.checkpoint.shards import (
    Fragment,
    base_optimiser,
    cuts,
    fragments,
    is_replica,
    is_shared_out,
    named_parameters,
)
from engine.rank.train.loss_scale import loss_scale, scale_holders
from engine.spec.spec import Spec, flatten

# What the random states of its ranks depend on.
RANDOM_DEPENDS_ON = ("parallel", "micro_batch_size", "dtype")


@dataclass(frozen=True)
class Place:
    """Where a rank stands in the grid."""

    rank: int
    stage: int
    data_rank: int
    data: int
    tensor_rank: int
    tensor: int

    @classmethod
    def of(cls, seat: Seat, spec: Spec) -> Place:
        parallel = spec.parallel
        return cls(seat.rank, seat.stage, seat.data_rank, parallel.data, seat.tensor_rank, parallel.tensor)


@dataclass(frozen=True)
class Snapshot:
    """What one rank writes of a step border."""

    tensors: dict[str, Tensor]
    own: dict[str, Any]


@dataclass(frozen=True)
class Resumed:
    """What a resumed rank goes on with, and what is to be said of it."""

    step: int
    best_loss: float | None
    notes: tuple[str, ...]


def layout(spec: Spec, dtype: str) -> dict[str, Any]:
    """What a checkpoint says of the spec that wrote it."""
    model = spec.model.model_dump(exclude={"dropout"}) | {"vocab_size": spec.vocab_size}
    parallel = spec.parallel.model_dump(exclude={"activation_checkpointing"})
    return {
        "model": model, "parallel": parallel, "dtype": dtype, "optimiser": spec.optimiser.name,
        "micro_batch_size": spec.batch.micro_batch_size,
    }  # fmt: skip


def snapshot(engine: Any, spec: Spec, place: Place, copy: Callable[[str, Tensor], Tensor]) -> Snapshot:
    """This rank's state, each tensor passed through `copy` with its key. Of what several ranks keep alike, each data
    rank takes a share, and of what tensor ranks keep alike, the first takes it all."""
    parameters, states = named_parameters(engine), _states(engine, spec)
    found, tables, scalars, shapes, cut_of = {}, {}, {}, {}, cuts(engine)
    for name, parameter in parameters.items():
        cut = cut_of.get(id(parameter))
        shape = tuple(getattr(parameter, "ds_shape", parameter.shape))
        tables[name] = {"shape": whole_shape(shape, cut), "cut": cut.to_json() if cut else None}
    for fragment in fragments(engine):
        parameter = parameters[fragment.name]
        is_cut = id(parameter) in cut_of
        if is_replica(parameter) or (place.tensor_rank and not is_cut):
            continue
        first, last = (0, fragment.length) if is_shared_out(engine) else _share(fragment.length, place)
        if first == last:
            continue
        part = place.tensor_rank if is_cut else 0
        for kind, values in _kept_of(fragment, states.get(fragment.holder, {}), scalars).items():
            key = key_of(kind, fragment.name, part, fragment.start + first)
            found[key] = copy(key, values[first:last])
        if place.data_rank == 0:
            for kind, value in _of_own_shape(fragment, states.get(fragment.holder, {})).items():
                key = key_of(kind, fragment.name, 0, 0)
                found[key] = copy(key, value.detach().reshape(-1))
                shapes[f"{kind}|{fragment.name}"] = list(value.shape)
    found |= {f"{RANDOM}|{device}": copy(device, state) for device, state in _random_states(engine).items()}
    own = {"parameters": tables, "scalars": scalars, "shapes": shapes, "loss_scale": loss_scale(engine)}
    own["skipped_steps"] = engine.skipped_steps
    if hasattr(engine.module, "micro_offset"):
        own["micro_offset"] = engine.module.micro_offset
    return Snapshot(found, own)


def resume(path: Path, engine: Any, spec: Spec, dtype: str, place: Place) -> Resumed:
    """Load a checkpoint of any layout into an engine; every rank for itself.
    Raises ResumeError if it is incomplete, or of a model or an optimiser whose state does not fit."""
    manifest = read_manifest(path)
    before, now = manifest["layout"], layout(spec, dtype)
    refuse_other_model(before, now, path.name)
    pieces = Pieces(path)
    own = pieces.own.get(rank_file(place.rank)) or pieces.own[rank_file(0)]
    load_weights(engine, pieces.part, place)
    _load_optimiser(engine, pieces, own["scalars"], place)
    engine.global_steps = step = int(manifest["step"])
    engine.micro_steps = step * spec.accumulation
    engine.global_samples = step * spec.batch.global_batch_size
    engine.skipped_steps = own["skipped_steps"]
    for holder in scale_holders(engine):
        for name, value in own["loss_scale"].items():
            if hasattr(holder, name):
                setattr(holder, name, value)
    is_same = all(before[key] == now[key] for key in RANDOM_DEPENDS_ON)
    _restore_random(engine, pieces, place, own, spec, step, is_same)
    notes = () if is_same else (_of_other_layout(before, now, spec.model.dropout > 0),)
    return Resumed(step, manifest.get("best_loss"), notes)


def start(begun: Start, engine: Any, spec: Spec, place: Place) -> str:
    """Fill a fresh engine with weights alone; returns what is to be said of it. Raises SpecError where they misfit."""
    begun.refuse_misfit(spec)
    cut_of, parameters = cuts(engine), named_parameters(engine)

    def read(kind: str, name: str, index: int, parts: int, first: int, last: int) -> Array | None:
        if begun.is_fresh(name, spec):
            return None
        cut = cut_of.get(id(parameters[name]))
        return part_of(begun.whole(name), cut, index, parts).reshape(-1)[first:last]

    load_weights(engine, read, place)
    head = " Its head is new." if begun.origin.has_other_head(spec) else ""
    return f"Begins with the weights of {begun.origin.title}; the optimiser begins anew.{head}"


# kind, parameter, tensor part, number of parts, first and one past the last element -> the values, or None: leave them
Read = Callable[[str, str, int, int, int, int], "Array | None"]


@torch.no_grad()
def load_weights(engine: Any, read: Read, place: Place) -> None:
    """Fill the model's weights, and the fp32 copies that the optimiser steps."""
    for name, parameter in named_parameters(engine).items():
        if hasattr(parameter, "ds_id") and parameter.ds_status != ZeroParamStatus.AVAILABLE:
            continue
        values = read(WEIGHT, name, place.tensor_rank, place.tensor, 0, parameter.numel())
        if values is not None:
            parameter.copy_(torch.from_numpy(values).view(parameter.shape))
    for fragment in fragments(engine):
        stop = fragment.start + fragment.length
        values = read(WEIGHT, fragment.name, place.tensor_rank, place.tensor, fragment.start, stop)
        if values is not None:
            fragment.of(fragment.holder).copy_(torch.from_numpy(values))
    _shares_from_masters(engine)


def refuse_other_model(saved: Mapping[str, Any], wanted: Mapping[str, Any], name: str) -> None:
    before, now = flatten(saved), flatten(wanted)
    fields = [key for key in now if key.startswith("model.") or key == "optimiser"]
    differing = [
        f"{key} {before[key]} instead of {now[key]}" for key in fields if before.get(key) != now[key]
    ]
    if differing:
        raise ResumeError(
            f"The checkpoint {name} has {', '.join(differing)}: its state fits no other model or optimiser. Only the "
            "layout (data, tensor, stages, ZeRO stage) may change; start_from takes over weights alone."
        )


def _share(length: int, place: Place) -> tuple[int, int]:
    return length * place.data_rank // place.data, length * (place.data_rank + 1) // place.data


def _kept_of(fragment: Fragment, state: Mapping[str, Any], scalars: dict[str, float]) -> dict[str, Tensor]:
    """Weights and what the optimiser keeps element by element; what it keeps once (its step count) goes to scalars."""
    found = {WEIGHT: fragment.of(fragment.holder)}
    for kind, value in state.items():
        if isinstance(value, Tensor) and value.numel() == fragment.holder.numel() and value.dim() > 0:
            found[kind] = fragment.of(value)
        elif value is not None and not _has_own_shape(fragment, value):
            scalars[kind] = float(value)
    return found


def _of_own_shape(fragment: Fragment, state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Adafactor's row and column means: of a whole matrix, but not element by element. No layout cuts them."""
    return {kind: value for kind, value in state.items() if _has_own_shape(fragment, value)}


def _has_own_shape(fragment: Fragment, value: Any) -> bool:
    return isinstance(value, Tensor) and value.dim() > 0 and value.numel() != fragment.holder.numel()


def _states(engine: Any, spec: Spec) -> Mapping[Tensor, Mapping[str, Any]]:
    """The optimiser's state by parameter; empty for an optimiser whose state is not saved."""
    return base_optimiser(engine).state if spec.optimiser.row.is_state_saved else {}


@torch.no_grad()
def _load_optimiser(engine: Any, pieces: Pieces, scalars: Mapping[str, float], place: Place) -> None:
    states = base_optimiser(engine).state
    shapes = {key: shape for own in pieces.own.values() for key, shape in own.get("shapes", {}).items()}
    for fragment in fragments(engine):
        state = states[fragment.holder]
        for kind in pieces.kinds(fragment.name):
            if kind == WEIGHT:
                continue
            if shape := shapes.get(f"{kind}|{fragment.name}"):
                values = pieces.part(kind, fragment.name, 0, 1, 0, math.prod(shape))
                state[kind] = torch.from_numpy(values).reshape(shape).to(fragment.holder.device)
                continue
            if kind not in state:
                state[kind] = torch.zeros_like(fragment.holder, requires_grad=False)
            stop = fragment.start + fragment.length
            values = pieces.part(kind, fragment.name, place.tensor_rank, place.tensor, fragment.start, stop)
            fragment.of(state[kind]).copy_(torch.from_numpy(values))
        for kind, value in scalars.items():
            # A tensor on the holder's device, as torch's fused optimisers keep their step count.
            state[kind] = torch.tensor(value, dtype=torch.float32, device=fragment.holder.device)
    if hasattr(engine.optimizer, "_hp_optimizer_states_linked"):
        engine.optimizer._hp_optimizer_states_linked = False  # to be linked anew at the next step


def _shares_from_masters(engine: Any) -> None:
    """ZeRO 3 trains on shares of the parameters beside the fp32 ones: the same values in the run's format."""
    wrapper = engine.optimizer
    for share, master in zip(
        getattr(wrapper, "fp16_partitioned_groups_flat", ()),
        getattr(wrapper, "fp32_partitioned_groups_flat", ()),
        strict=True,
    ):
        share.copy_(master)


def _random_states(engine: Any) -> dict[str, Tensor]:
    found = {"cpu": torch.get_rng_state()}
    if engine.device.type == "cuda":
        found["cuda"] = torch.cuda.get_rng_state()
    return found


def _restore_random(
    engine: Any, pieces: Pieces, place: Place, own: Mapping[str, Any], spec: Spec, step: int, is_same: bool
) -> None:
    """The saved states where each rank does what it did; else new ones, the same at every try. They differ by stage and
    data rank and not by tensor rank, as from the start."""
    if is_same:
        file = pieces.files[rank_file(place.rank)]
        torch.set_rng_state(torch.from_numpy(file.read(f"{RANDOM}|cpu")))
        if engine.device.type == "cuda" and f"{RANDOM}|cuda" in file.keys():  # noqa: SIM118
            torch.cuda.set_rng_state(torch.from_numpy(file.read(f"{RANDOM}|cuda")))
    else:
        mixed = np.random.SeedSequence([spec.seed, step, place.stage, place.data_rank]).generate_state(
            1, np.uint64
        )
        torch.manual_seed(int(mixed[0] >> np.uint64(1)))
    if hasattr(engine.module, "micro_offset"):
        engine.module.micro_offset = own["micro_offset"] if is_same else step * spec.accumulation


def _of_other_layout(before: Mapping[str, Any], now: Mapping[str, Any], has_dropout: bool) -> str:
    old, new = (
        {k: v for k, v in flatten(x).items() if k.split(".")[0] in RANDOM_DEPENDS_ON} for x in (before, now)
    )
    changed = [f"{key} {old.get(key)} -> {new[key]}" for key in new if old.get(key) != new[key]]
    dropout = " Dropout goes on with new random numbers." if has_dropout else ""
    return f"Resumed in another layout than it was saved in: {', '.join(changed)}.{dropout}"
