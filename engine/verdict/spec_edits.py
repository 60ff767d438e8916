"""Edits of a spec that bear on one limit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.spec.checks import refuse_impossible
from engine.spec.spec import Spec, SpecError, merged, nested, parse

SpecChanges = dict[str, Any]  # path of a field -> value
LESS_OFTEN = 10  # times
SpecEdit = Callable[[Spec], SpecChanges | None]  # None: the edit does not apply to this spec
SpecEdits = Callable[[Spec], list[SpecChanges]]  # from the smallest change to the greatest


def apply_changes(values: Mapping[str, Any], changes: Mapping[str, Any]) -> Spec:
    """The spec with these fields set. Raises SpecError if it can run nowhere."""
    spec = parse(merged(values, nested(changes)))
    refuse_impossible(spec)
    return spec


def is_possible(values: Mapping[str, Any], changes: Mapping[str, Any]) -> bool:
    try:
        apply_changes(values, changes)
    except SpecError:
        return False
    return True


def lower_zero_stage(spec: Spec) -> SpecChanges | None:
    """ZeRO 3 gathers parameters twice per micro-batch, 2 reduces gradients per micro-batch, 1 once per step and gathers
    parameters, 0 only reduces."""
    return next(iter(list_lower_zero_stages(spec)), None)


def list_lower_zero_stages(spec: Spec) -> list[SpecChanges]:
    stages = range(spec.parallel.zero_stage - 1, -1, -1) if spec.parallel.data > 1 else ()
    return [{"parallel.zero_stage": stage} for stage in stages]


def raise_zero_stage(spec: Spec) -> SpecChanges | None:
    stage, parallel = spec.parallel.zero_stage, spec.parallel
    top = 1 if parallel.stages > 1 else 3
    return {"parallel.zero_stage": stage + 1} if parallel.data > 1 and stage < top else None


def double_global_batch(spec: Spec) -> SpecChanges | None:
    """More micro-batches per step."""
    return {"batch.global_batch_size": 2 * spec.batch.global_batch_size}


def double_micro_batch(spec: Spec) -> SpecChanges | None:
    doubled = 2 * spec.batch.micro_batch_size
    is_divisible = spec.batch.global_batch_size % (doubled * spec.parallel.data) == 0
    return {"batch.micro_batch_size": doubled} if is_divisible else None


def list_larger_micro_batches(spec: Spec) -> list[SpecChanges]:
    """Multiples by powers of two that divide the batch of a rank, and all of it."""
    size, whole = spec.batch.micro_batch_size, spec.batch.global_batch_size // spec.parallel.data
    sizes = {size << power for power in range(1, 13)} | {whole}
    return [
        {"batch.micro_batch_size": larger}
        for larger in sorted(sizes)
        if size < larger <= whole and whole % larger == 0
    ]


def list_smaller_micro_batches(spec: Spec) -> list[SpecChanges]:
    size, found = spec.batch.micro_batch_size, []
    while size % 2 == 0:
        size //= 2
        found.append({"batch.micro_batch_size": size})
    return found


def halve_micro_batch(spec: Spec) -> SpecChanges | None:
    size = spec.batch.micro_batch_size
    return {"batch.micro_batch_size": size // 2} if size % 2 == 0 else None


def halve_stages(spec: Spec) -> SpecChanges | None:
    """Half the stages, with copies of the model on the freed devices."""
    parallel = spec.parallel
    if parallel.stages % 2:
        return None
    return {"parallel.stages": parallel.stages // 2, "parallel.data": 2 * parallel.data}


def halve_tensor_ranks(spec: Spec) -> SpecChanges | None:
    """Half the ranks that share each matrix, with copies of the model on the others."""
    parallel = spec.parallel
    if parallel.tensor % 2:
        return None
    return {"parallel.tensor": parallel.tensor // 2, "parallel.data": 2 * parallel.data}


def keep_activations(spec: Spec) -> SpecChanges | None:
    return {"parallel.activation_checkpointing": "none"} if recomputes_activations(spec) else None


def recompute(spec: Spec) -> SpecChanges | None:
    return None if recomputes_activations(spec) else {"parallel.activation_checkpointing": "full"}


def offload_optimiser(spec: Spec) -> SpecChanges | None:
    is_sharded = spec.parallel.zero_stage >= 1 and spec.parallel.offload_optimiser == "none"
    return {"parallel.offload_optimiser": "host"} if is_sharded else None


def keep_optimiser_on_device(spec: Spec) -> SpecChanges | None:
    if spec.parallel.offload_optimiser == "none":
        return None
    changes: SpecChanges = {"parallel.offload_optimiser": "none"}
    return changes | (
        {"parallel.offload_parameters": "none"} if spec.parallel.offload_parameters != "none" else {}
    )


def use_bf16(spec: Spec) -> SpecChanges | None:
    return {"precision.dtype": "bf16"} if spec.precision.dtype in ("fp32", "tf32") else None


def tie_embeddings(spec: Spec) -> SpecChanges | None:
    return None if spec.model.tied_embeddings else {"model.tied_embeddings": True}


def halve_layers(spec: Spec) -> SpecChanges | None:
    """Half the model: not a remedy, but a test of the cost of compute."""
    layers = spec.model.layers // 2
    return {"model.layers": layers} if layers >= spec.parallel.stages else None


def validate_less_often(spec: Spec) -> SpecChanges | None:
    every = spec.budget.validate_every
    return {"budget.validate_every": min(LESS_OFTEN * every, spec.budget.steps)} if every else None


def checkpoint_less_often(spec: Spec) -> SpecChanges | None:
    every = spec.budget.checkpoint_every
    return {"budget.checkpoint_every": min(LESS_OFTEN * every, spec.budget.steps)} if every else None


def checkpoint_more_often(spec: Spec) -> SpecChanges | None:
    every = spec.budget.checkpoint_every or spec.budget.steps
    return {"budget.checkpoint_every": every // 2} if every >= 2 else None


def recomputes_activations(spec: Spec) -> bool:
    return spec.parallel.activation_checkpointing != "none"
