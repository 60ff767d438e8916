"""Memory of a pipeline stage's devices by component, at each possible peak.

Measured for DeepSpeed 0.19.8 on real ranks with 20 MB of parameters (tests/perf/test_planner_memory.py) and checked
against its source. P: fp32 parameters; n: data-parallel ranks.

    between steps   ZeRO 0: P + states      1, 2: P + (P + states) / n      3: (P + P + states + P) / n + bucket
    reduction       ZeRO 0: + P, + a flat copy     1: + P + bucket     2: + P / n + 2 buckets     3: + 2 gathered
    update          ZeRO 0: + P    1, 2: + 2 P / n (averaged gradients, and their flat copy)    3: + P / n

In bf16 P and gradients take half; master copy and states stay fp32; an update still takes 8 / n bytes per parameter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from engine.planner.activations import ActivationMemory, StageShape, activation_memory, stage_shapes
from engine.planner.plan import StageMemory
from engine.planner.profile import HardwareProfile
from engine.spec.spec import Spec

BYTES = {"fp32": 4, "tf32": 4, "bf16": 2, "fp16": 2}
BUCKET_ELEMENTS = 50_000_000  # as set in engine.rank.train.engine
# DeepSpeed's all-reduce of ZeRO 0 copies gradients into flat pieces of at most this size.
FLAT_ELEMENTS = 500_000_000
# ZeRO 3 keeps gathered parameters that are reused within this many elements, and prefetches up to the second limit.
LIVE_ELEMENTS = 1_000_000_000
PREFETCH_ELEMENTS = 50_000_000
LEFT_GATHERED = 0.28  # share of the parameters that stays between ZeRO 3 steps; measured, cause unknown


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


def model_states(spec: Spec, dtype: str, count: int, on_cuda: bool) -> ModelStates:
    zero, n, width = spec.zero_stage_in(dtype), spec.parallel.data, BYTES[dtype]
    state = spec.optimiser.row.state_bytes(spec)
    whole, share = float(count * width), count / n
    # On CUDA a second bucket fills while the first is reduced during the backward pass.
    bucket = float(min(BUCKET_ELEMENTS, count) * width) * (2 if on_cuda else 1)
    accumulates = spec.accumulation > 1
    if zero == 0:
        master, copy = (0.0, 0.0) if width == 4 else (4.0, 4.0 * count)
        return ModelStates(
            parameters=whole,
            optimiser=count * (state + master),
            gradients=whole if accumulates else 0.0,
            whole_gradients=whole,
            averaged_gradients=whole,
            reduction=float(min(FLAT_ELEMENTS, count) * width),
            update=copy,
        )
    optimiser = share * (4 + state)
    if zero == 3:
        live = float(min(LIVE_ELEMENTS, count) * width)
        return ModelStates(
            parameters=share * width,
            optimiser=optimiser,
            gradients=share * width,
            whole_gradients=share * width,
            averaged_gradients=share * width,
            resting=bucket + LEFT_GATHERED * whole,
            forward=live + min(PREFETCH_ELEMENTS, count) * width,
            backward=live,
            reduction=2 * live,
            update=share * (4 if width == 4 else 6),
        )
    alive = share * width + float(min(BUCKET_ELEMENTS, count) * width) if zero == 2 else whole
    return ModelStates(
        parameters=whole,
        optimiser=optimiser,
        gradients=(share * width if zero == 2 else whole) if accumulates else 0.0,
        whole_gradients=alive if accumulates or zero == 1 else whole,
        averaged_gradients=share * width,
        # Allocated with the first gradient. On a CPU its pages become resident only as they fill.
        backward=bucket if on_cuda and spec.parallel.stages == 1 else 0.0,
        reduction=bucket,
        update=share * (8 - width),
    )


def offload_states(spec: Spec, dtype: str, count: int, states: ModelStates) -> ModelStates:
    """Move what ZeRO offloads to host memory: optimiser state and update, with ZeRO 3 also parameters."""
    parallel, share = spec.parallel, count / spec.parallel.data
    if parallel.offload_optimiser != "none":
        moved = states.optimiser + 4 * share
        states = replace(states, optimiser=0.0, update=0.0, host=moved)
    if parallel.offload_parameters != "none" and parallel.zero_stage == 3:
        states = replace(states, parameters=0.0, host=states.host + share * BYTES[dtype])
    return states


def stage_memory(spec: Spec, dtype: str, stage: int, profile: HardwareProfile | None) -> StageMemory:
    """Return the components of a stage at its peak."""
    on_cuda = profile is None or profile.kind == "cuda"
    shape = stage_shapes(spec)[stage]
    states = model_states(spec, dtype, shape.parameters, on_cuda)
    states = offload_states(spec, dtype, shape.parameters, states)
    held = activation_memory(spec, dtype, shape, on_cuda)
    framework = float(profile.resident_bytes) if profile else 0.0
    moments = _moments(spec, dtype, shape, states, held)
    totals = {name: sum(parts) + framework for name, parts in moments.items()}
    binds = max(totals, key=lambda name: totals[name])
    parameters, gradients, optimiser, activations, logits, buffers = moments[binds]
    return StageMemory(
        stage, parameters, gradients, optimiser, activations, logits, buffers, framework,
        states.host, binds, totals,
    )  # fmt: skip


def peak_bytes(spec: Spec, dtype: str, profile: HardwareProfile | None) -> float:
    """Peak of the fullest device. The first stage has most micro-batches in flight and the last one the logits; stages
    between hold less than the first."""
    ends = {0, spec.parallel.stages - 1}
    return max(stage_memory(spec, dtype, stage, profile).total_bytes for stage in ends)


def _moments(
    spec: Spec, dtype: str, shape: StageShape, states: ModelStates, held: ActivationMemory
) -> dict[str, tuple[float, float, float, float, float, float]]:
    """Moment -> bytes of parameters, gradients, optimiser state, activations, logits, buffers. A backward pass frees
    activations while gradients grow, so its peak is at its start (with gradients of earlier micro-batches only) or at
    its end, the reduction."""
    in_flight = min(spec.parallel.stages - shape.stage, spec.accumulation)
    kept = in_flight * held.micro_batch + held.buffers
    p, o, g = states.parameters, states.optimiser, states.gradients
    return {
        "forward": (p, g, o, kept + held.passing, 0.0, states.resting + states.forward),
        "loss": (p, g, o, kept, held.logits, states.resting + states.backward),
        "backward": (p, g, o, kept + held.working, 0.0, states.resting + states.backward),
        "reduction": (p, states.whole_gradients, o, held.buffers, 0.0, states.resting + states.reduction),
        "update": (p, states.averaged_gradients, o, held.buffers, 0.0, states.resting + states.update),
    }  # fmt: skip
