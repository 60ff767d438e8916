"""Memory of each pipeline stage's devices, component by component, at the moments that can bind.

What DeepSpeed 0.19.8 holds was measured on real ranks with 20 MB of parameters (tests/perf/test_planner_memory.py), in
units of the fp32 parameters P, and agrees with its source; n data-parallel ranks:

    between steps   ZeRO 0: P + states      1, 2: P + (P + states) / n      3: (P + P + states + P) / n + bucket
    reduction       ZeRO 0: + P, + a flat copy     1: + P + bucket     2: + P / n + 2 buckets     3: + 2 gathered
    update          ZeRO 0: + P    1, 2: + 2 P / n (averaged gradients, and their flat copy)    3: + P / n

In bf16 P and gradients take half, copy and states stay in 32 bits, an update still holds 8 / n bytes a parameter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from engine.planner.activations import Held, StageShape, held_by, stage_shapes
from engine.planner.plan import StageMemory
from engine.planner.profile import DeviceProfile
from engine.spec.spec import Spec

BYTES = {"fp32": 4, "tf32": 4, "bf16": 2, "fp16": 2}
BUCKET_ELEMENTS = 50_000_000  # engine.rank.train.engine's
FLAT_ELEMENTS = (
    500_000_000  # DeepSpeed's all-reduce of ZeRO 0 copies gradients into flat pieces of at most this
)
LIVE_ELEMENTS = 1_000_000_000  # ZeRO 3 keeps gathered parameters that are used again within so many
PREFETCH_ELEMENTS = (
    50_000_000  # and what it gathers at once stays beside its copies until the last of them is used
)
LEFT_GATHERED = 0.28  # of the parameters, between ZeRO 3 steps; measured, the cause not found


@dataclass(frozen=True, slots=True)
class States:
    """Bytes on one device that do not depend on the batch."""

    parameters: float
    optimiser: float  # with the fp32 master copy
    gradients: float  # while they accumulate
    whole_gradients: float  # when the last micro-batch's are complete
    averaged_gradients: float  # at the update
    resting: float = 0.0  # buffers that stay
    forward: float = 0.0  # buffers at the end of the forward pass
    backward: float = 0.0  # buffers when the backward pass begins
    reduction: float = 0.0
    update: float = 0.0
    host: float = 0.0


def states_of(spec: Spec, dtype: str, count: int, on_cuda: bool) -> States:
    zero, n, width = spec.zero_stage_in(dtype), spec.parallel.data, BYTES[dtype]
    state = spec.optimiser.row.state_bytes(spec)
    whole, share = float(count * width), count / n
    # While it is reduced beside the backward pass (CUDA) a second one is filled.
    bucket = float(min(BUCKET_ELEMENTS, count) * width) * (2 if on_cuda else 1)
    accumulates = spec.accumulation > 1
    if zero == 0:
        master, copy = (0.0, 0.0) if width == 4 else (4.0, 4.0 * count)
        return States(
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
        return States(
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
    return States(
        parameters=whole,
        optimiser=optimiser,
        gradients=(share * width if zero == 2 else whole) if accumulates else 0.0,
        whole_gradients=alive if accumulates or zero == 1 else whole,
        averaged_gradients=share * width,
        # Taken with the first gradient. On a CPU its pages are touched as far as they are filled: at first not at all.
        backward=bucket if on_cuda and spec.parallel.stages == 1 else 0.0,
        reduction=bucket,
        update=share * (8 - width),
    )


def offloaded(spec: Spec, dtype: str, count: int, states: States) -> States:
    """What ZeRO keeps in the host's memory is not on the device: states and the update, or parameters too."""
    parallel, share = spec.parallel, count / spec.parallel.data
    if parallel.offload_optimiser != "none":
        moved = states.optimiser + 4 * share
        states = replace(states, optimiser=0.0, update=0.0, host=moved)
    if parallel.offload_parameters != "none" and parallel.zero_stage == 3:
        states = replace(states, parameters=0.0, host=states.host + share * BYTES[dtype])
    return states


def stage_memory(spec: Spec, dtype: str, stage: int, profile: DeviceProfile | None) -> StageMemory:
    """The stage's components at the moment at which they add up to most."""
    on_cuda = profile is None or profile.kind == "cuda"
    shape = stage_shapes(spec)[stage]
    states = states_of(spec, dtype, shape.parameters, on_cuda)
    states = offloaded(spec, dtype, shape.parameters, states)
    held = held_by(spec, dtype, shape, on_cuda)
    framework = float(profile.resident_bytes) if profile else 0.0
    moments = _moments(spec, dtype, shape, states, held)
    totals = {name: sum(parts) + framework for name, parts in moments.items()}
    binds = max(totals, key=lambda name: totals[name])
    parameters, gradients, optimiser, activations, logits, buffers = moments[binds]
    return StageMemory(
        stage, parameters, gradients, optimiser, activations, logits, buffers, framework,
        states.host, binds, totals,
    )  # fmt: skip


def peak_bytes(spec: Spec, dtype: str, profile: DeviceProfile | None) -> float:
    """Of the fullest device. The first stage has most micro-batches in flight and the last one the logits; those
    between hold less than the first."""
    ends = {0, spec.parallel.stages - 1}
    return max(stage_memory(spec, dtype, stage, profile).total_bytes for stage in ends)


def _moments(
    spec: Spec, dtype: str, shape: StageShape, states: States, held: Held
) -> dict[str, tuple[float, float, float, float, float, float]]:
    """Moment -> bytes of parameters, gradients, optimiser state, activations, logits, buffers. A backward pass gives
    activations back while gradients grow, so it is fullest where it begins (with gradients of earlier micro-batches
    only) or where it ends: at the reduction."""
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
