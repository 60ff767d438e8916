"""Changes of a spec that bear on one limit: each gives the fields it would set, or nothing where it does not apply."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.spec.checks import refuse_impossible
from engine.spec.spec import Spec, SpecError, merged, nested, parse

Changes = dict[str, Any]
Knob = Callable[[Spec], Changes | None]


def changed(values: Mapping[str, Any], changes: Mapping[str, Any]) -> Spec:
    """The spec with these fields set. Raises SpecError where it cannot run anywhere."""
    spec = parse(merged(values, nested(changes)))
    refuse_impossible(spec)
    return spec


def works(values: Mapping[str, Any], changes: Mapping[str, Any]) -> bool:
    try:
        changed(values, changes)
    except SpecError:
        return False
    return True


def lower_zero(spec: Spec) -> Changes | None:
    """ZeRO 3 gathers parameters twice a micro-batch, 2 reduces gradients every micro-batch, 1 once a step."""
    stage = spec.parallel.zero_stage
    return {"parallel.zero_stage": stage - 1} if stage >= 2 and spec.parallel.data > 1 else None


def higher_zero(spec: Spec) -> Changes | None:
    stage, parallel = spec.parallel.zero_stage, spec.parallel
    top = 1 if parallel.stages > 1 else 3
    return {"parallel.zero_stage": stage + 1} if parallel.data > 1 and stage < top else None


def larger_batch(spec: Spec) -> Changes | None:
    """More micro-batches a step: what happens once a step is spread over more tokens."""
    return {"batch.global_batch_size": 2 * spec.batch.global_batch_size}


def larger_micro_batch(spec: Spec) -> Changes | None:
    twice = 2 * spec.batch.micro_batch_size
    is_whole = spec.batch.global_batch_size % (twice * spec.parallel.data) == 0
    return {"batch.micro_batch_size": twice} if is_whole else None


def smaller_micro_batch(spec: Spec) -> Changes | None:
    size = spec.batch.micro_batch_size
    return {"batch.micro_batch_size": size // 2} if size % 2 == 0 else None


def fewer_stages(spec: Spec) -> Changes | None:
    """Half the stages, and copies of the model on the devices that gives free."""
    parallel = spec.parallel
    if parallel.stages % 2:
        return None
    return {"parallel.stages": parallel.stages // 2, "parallel.data": 2 * parallel.data}


def less_tensor(spec: Spec) -> Changes | None:
    """Half the ranks that share each matrix, and copies of the model in their place."""
    parallel = spec.parallel
    if parallel.tensor % 2:
        return None
    return {"parallel.tensor": parallel.tensor // 2, "parallel.data": 2 * parallel.data}


def no_recompute(spec: Spec) -> Changes | None:
    return {"parallel.activation_checkpointing": "none"} if _recomputes(spec) else None


def recompute(spec: Spec) -> Changes | None:
    return None if _recomputes(spec) else {"parallel.activation_checkpointing": "full"}


def offload(spec: Spec) -> Changes | None:
    is_shared = spec.parallel.zero_stage >= 1 and spec.parallel.offload_optimiser == "none"
    return {"parallel.offload_optimiser": "host"} if is_shared else None


def half_precision(spec: Spec) -> Changes | None:
    return {"precision.dtype": "bf16"} if spec.precision.dtype in ("fp32", "tf32") else None


def fewer_layers(spec: Spec) -> Changes | None:
    """Half the model: no remedy, but a test of what compute costs."""
    layers = spec.model.layers // 2
    return {"model.layers": layers} if layers >= spec.parallel.stages else None


def nothing(spec: Spec) -> Changes | None:
    """What no field of a spec can say."""
    return {}


def _recomputes(spec: Spec) -> bool:
    return spec.parallel.activation_checkpointing != "none"
