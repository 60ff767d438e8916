"""Memory of a pipeline stage's devices by component, at each possible peak.

Measured for DeepSpeed 0.19.8 on real ranks with 20 MB of parameters (tests/perf/test_planner_memory.py) and checked
against its source. P: fp32 parameters; n: data-parallel ranks; G: what ZeRO 3 holds gathered.

    between steps   ZeRO 0: P + states      1, 2: P + (P + states) / n      3: (P + P + states + P) / n + bucket
    reduction       ZeRO 0: + P, + a flat copy     1: + P + bucket     2: + P / n + 2 buckets     3: + 2 gathers
    update          ZeRO 0: + P    1, 2: + 2 P / n (averaged gradients, and their flat copy)    3: + P / n

In bf16 P and gradients take half; master copy and states stay fp32; an update still takes 8 / n bytes per parameter.

ZeRO 3 releases a parameter after its use unless it is used again within REUSE_ELEMENTS of the trace of a step
(partitioned_param_coordinator.py, __params_to_release). At the end of the forward pass those are the last layers: the
way to their next use leads over each later layer twice, and three times where the backward pass recomputes it. Further
parameters are gathered ahead, up to PREFETCH_ELEMENTS and one parameter. All are released by the update.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from engine.planner.activations import (
    ActivationMemory,
    DeviceTraits,
    StageShape,
    activation_memory,
    stage_shapes,
)
from engine.planner.plan_parts import StageMemory
from engine.planner.profile import HardwareProfile
from engine.planner.traits import OWN, EngineTraits
from engine.spec.spec import Spec

BYTES = {"fp32": 4, "tf32": 4, "bf16": 2, "fp16": 2}
BUCKET_ELEMENTS = 50_000_000  # as set in engine.rank.train.engine
# DeepSpeed's all-reduce of ZeRO 0 copies gradients into flat pieces of at most this size.
FLAT_ELEMENTS = 500_000_000
REUSE_ELEMENTS = 1_000_000_000  # DeepSpeed's stage3_max_reuse_distance
PREFETCH_ELEMENTS = 50_000_000  # DeepSpeed's stage3_prefetch_bucket_size
PASSES_TO_REUSE = {"none": 2.0, "selective": 2.5, "full": 3.0}
SUB_GROUP_ELEMENTS = 1_000_000_000  # ZeRO 3 updates this many at a time
# Resident memory of CPU ranks with 5 M parameters between ZeRO 3 steps, as a share of the parameters; the cause is not
# known. DeepSpeed partitions every parameter in an update, so nothing stays on a GPU, and no more than one gather here.
LEFT_RESIDENT = 0.28
# Resident memory of CPU ranks, measured on 23 random specs (2026-11-30): gloo's buffers of a group of ranks; and what a
# first save and validation load.
GROUP_BYTES, SAVING_BYTES = 5e6, 6.5e6


@dataclass(frozen=True, slots=True)
class ModelStates:
    """Bytes on one device that are independent of the batch (the model states of the ZeRO paper) and buffers."""

    parameters: float
    optimiser: float  # with the fp32 master copy
    gradients: float  # while they accumulate
    whole_gradients: float  # after the last micro-batch
    averaged_gradients: float  # at the update
    resting: float = 0.0  # permanent buffers
    forward: float = 0.0  # buffers at the end of the forward pass
    backward: float = 0.0  # buffers at the start of the backward pass
    reduction: float = 0.0
    update: float = 0.0
    host: float = 0.0


def model_states(spec: Spec, dtype: str, shape: StageShape, on_cuda: bool) -> ModelStates:
    zero, n, width, count = spec.zero_stage_in(dtype), spec.parallel.data, BYTES[dtype], shape.trained
    state = spec.optimiser.row.state_bytes(spec)
    whole, share = float(count * width), count / n
    fixed = float((shape.parameters - count) * width)  # frozen weights: no gradient, no state, no master copy
    # On CUDA a second bucket fills while the first is reduced during the backward pass.
    bucket = float(min(BUCKET_ELEMENTS, count) * width) * (2 if on_cuda else 1)
    accumulates = spec.accumulation > 1
    if zero == 0:
        master, copy = (0.0, 0.0) if width == 4 else (4.0, 4.0 * count)
        return ModelStates(
            parameters=whole + fixed,
            optimiser=count * (state + master),
            gradients=whole if accumulates else 0.0,
            whole_gradients=whole,
            averaged_gradients=whole,
            reduction=float(min(FLAT_ELEMENTS, count) * width),
            update=copy,
        )
    optimiser = share * (4 + state)
    if zero == 3:
        kept, gather = gathered_elements(spec, shape)
        left = 0.0 if on_cuda else LEFT_RESIDENT * min(shape.parameters, gather) * width
        return ModelStates(
            parameters=share * width + fixed / n,
            optimiser=optimiser,
            gradients=share * width,
            whole_gradients=share * width,
            averaged_gradients=share * width,
            resting=bucket + left,
            forward=float((kept + min(PREFETCH_ELEMENTS, shape.parameters)) * width),
            backward=float(kept * width),
            reduction=2.0 * min(gather, count) * width,
            update=min(share, SUB_GROUP_ELEMENTS) * (4 if width == 4 else 6),
        )
    alive = share * width + float(min(BUCKET_ELEMENTS, count) * width) if zero == 2 else whole
    return ModelStates(
        parameters=whole + fixed,
        optimiser=optimiser,
        gradients=(share * width if zero == 2 else whole) if accumulates else 0.0,
        whole_gradients=alive if accumulates or zero == 1 else whole,
        averaged_gradients=share * width,
        # Allocated with the first gradient. On a CPU its pages become resident only as they fill.
        backward=bucket if on_cuda and spec.parallel.stages == 1 else 0.0,
        reduction=bucket,
        update=share * (8 - width),
    )


def gathered_elements(spec: Spec, shape: StageShape) -> tuple[float, float]:
    """Elements that ZeRO 3 holds at the end of the forward pass, and those of one gather with what it prefetches."""
    window = REUSE_ELEMENTS / PASSES_TO_REUSE[spec.parallel.activation_checkpointing]
    kept = min(shape.parameters, window + shape.largest_tensor)
    return kept, min(shape.parameters, PREFETCH_ELEMENTS + shape.largest_tensor)


def offload_states(
    spec: Spec, dtype: str, shape: StageShape, states: ModelStates, on_cuda: bool
) -> ModelStates:
    """Move what ZeRO offloads to host memory: optimiser state and update, with ZeRO 3 also parameters. A CPU's memory
    is the host's: there nothing leaves, and DeepSpeed's copies are added."""
    parallel, share = spec.parallel, shape.trained / spec.parallel.data
    gradients, copy = (
        4 * share,
        share * BYTES[dtype],
    )  # fp32 gradients, and the updated parameters before they return
    if parallel.offload_optimiser != "none":
        if on_cuda:
            host = states.optimiser + gradients + copy + 4.0 * shape.largest_tensor
            staging = float(BYTES[dtype] * shape.largest_tensor)
            states = replace(
                states, optimiser=0.0, update=staging, averaged_gradients=0.0, host=host,
                gradients=0.0 if spec.zero_stage_in(dtype) > 1 else states.gradients,
            )  # fmt: skip
        else:
            states = replace(states, resting=states.resting + gradients + copy)
    if parallel.offload_parameters != "none" and parallel.zero_stage == 3 and on_cuda:
        fixed = (shape.parameters - shape.trained) / parallel.data * BYTES[dtype]
        states = replace(states, parameters=0.0, host=states.host + copy + fixed)
    return states


def checkpoint_copy_bytes(spec: Spec, shape: StageShape) -> float:
    """Host copy of one rank's share of a checkpoint: fp32 weights and the optimiser state. The data ranks divide what
    they all hold (engine.rank.checkpoint.state)."""
    row = spec.optimiser.row
    state = row.state_bytes(spec) if row.is_state_saved else 0.0
    return shape.trained / spec.parallel.data * (4 + state)


def keeps_checkpoint_copy(spec: Spec) -> bool:
    """Whether steps follow the first save: its host copy is kept for the next save (engine.rank.checkpoint)."""
    return 0 < spec.budget.checkpoint_every < spec.budget.steps


def stage_memory(
    spec: Spec, dtype: str, stage: int, profile: HardwareProfile | None, trainer: EngineTraits = OWN
) -> StageMemory:
    """Return the components of a stage at its peak."""
    on_cuda = profile is None or profile.kind == "cuda"
    shape = stage_shapes(spec, trainer)[stage]
    states = model_states(spec, dtype, shape, on_cuda)
    states = offload_states(spec, dtype, shape, states, on_cuda)
    device = DeviceTraits(on_cuda, profile.architecture if profile else "", trainer)
    held = activation_memory(spec, dtype, shape, device)
    if spec.parallel.activation_checkpointing == "none":
        held = replace(held, micro_batch=held.micro_batch * trainer.saved_share)
    framework = _framework_bytes(spec, profile)
    copy = checkpoint_copy_bytes(spec, shape)
    moments = {
        name: (*parts, copy if not on_cuda and keeps_checkpoint_copy(spec) else 0.0)
        for name, parts in _moments(spec, dtype, shape, states, held).items()
    }
    if not on_cuda:
        saved = copy + SAVING_BYTES
        moments["checkpoint"] = (
            states.parameters, 0.0, states.optimiser, held.buffers, 0.0, states.resting, saved,
        )  # fmt: skip
    totals = {name: sum(parts) + framework for name, parts in moments.items()}
    binds = max(totals, key=lambda name: totals[name])
    parameters, gradients, optimiser, activations, logits, buffers, copied = moments[binds]
    return StageMemory(
        stage, parameters, gradients, optimiser, activations, logits, buffers, framework, states.host, binds, totals,
        checkpoint_bytes=copied,
        checkpoint_host_bytes=copy if on_cuda else 0.0,
        start_bytes=float(shape.parameters * BYTES[dtype]) if on_cuda else 0.0,
        start_host_bytes=4.0 * shape.parameters if on_cuda else 0.0,
    )  # fmt: skip


def _framework_bytes(spec: Spec, profile: HardwareProfile | None) -> float:
    if profile is None:
        return 0.0
    has_group = profile.kind == "cpu" and spec.parallel.data * spec.parallel.tensor > 1
    return float(profile.resident_bytes) + (GROUP_BYTES if has_group else 0.0)


def peak_bytes(spec: Spec, dtype: str, profile: HardwareProfile | None, trainer: EngineTraits = OWN) -> float:
    """Peak of the fullest device. The first stage has most micro-batches in flight and the last one the logits; stages
    between hold less than the first."""
    ends = {0, spec.parallel.stages - 1}
    return max(stage_memory(spec, dtype, stage, profile, trainer).total_bytes for stage in ends)


def _moments(
    spec: Spec, dtype: str, shape: StageShape, states: ModelStates, held: ActivationMemory
) -> dict[str, tuple[float, float, float, float, float, float]]:
    """Moment -> bytes of parameters, gradients, optimiser state, activations, logits, buffers. A backward pass frees
    activations while gradients grow, so its peak is at its start (with gradients of earlier micro-batches only) or at
    its end, where one block is still alive, or after it, in the reduction."""
    in_flight = min(spec.parallel.stages - shape.stage, spec.accumulation)
    kept = in_flight * held.micro_batch + held.buffers
    p, o, g = states.parameters, states.optimiser, states.gradients
    return {
        "forward": (p, g, o, kept + held.passing, 0.0, states.resting + states.forward),
        "loss": (p, g, o, kept, held.logits, states.resting + states.backward),
        "backward": (p, g, o, kept + held.working, 0.0, states.resting + states.backward),
        # With recomputation the last block to be recomputed meets the gradients of all others.
        "backward_end": (p, max(g, states.whole_gradients), o, held.working + held.buffers, 0.0, states.resting),
        "reduction": (p, states.whole_gradients, o, held.buffers, 0.0, states.resting + states.reduction),
        "update": (p, states.averaged_gradients, o, held.buffers, 0.0, states.resting + states.update),
    }  # fmt: skip
