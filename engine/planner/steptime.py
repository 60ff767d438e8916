"""Step time by phase, as means over the ranks."""

from __future__ import annotations

import dataclasses

from engine.model_math import counts, flops
from engine.planner import collectives
from engine.planner.activations import DeviceTraits, StageShape, activation_memory, stage_shapes
from engine.planner.calibration import PHASES, Calibration
from engine.planner.estimate import ZERO, Estimate, total
from engine.planner.memory import BYTES, FLAT_ELEMENTS
from engine.planner.plan import StepTime
from engine.planner.profile import HOST_OPTIMISER_BYTES_PER_S, HardwareProfile, Link
from engine.planner.rates import PassTime, pass_time
from engine.planner.traits import OWN, EngineTraits
from engine.spec.spec import Spec

NO_DEVICE = "Not available: this device has not been probed, and its speed is not guessed."
LOADING_S = 1e-4  # of a micro-batch: a slice of a memory-mapped file
# Memory traffic of an update per owned parameter, beside reading and writing the state: gradient and parameter; with
# ZeRO also flat copies of both; the norm reads gradients once and clipping scales them.
UPDATE_BYTES, ZERO_BYTES, CLIP_BYTES = 12, 16, 12
# What a micro-batch costs on a CPU beside its arithmetic, measured on idle cores (2026-11-30; 1.85 microseconds an
# operation; 22 and 38 parameter tensors). In operations for each tensor: Python modules and the recording of the
# backward pass (0.31 ms a micro-batch where operations alone take 0.17); ZeRO's hooks by stage in the backward pass
# (0.56 ms with ZeRO 0, 0.80 with 1, 1.24 with 2) and a share of them in the forward pass.
MODULE_CALLS = 4.0
TURN_CALLS = (75, 60)  # of a pipeline's schedule, forward and backward, in each turn of a stage
ZERO_HOOKS = {1: 6.0, 2: 17.0}
ZERO_FORWARD = 0.22
# Memory traffic of a micro-batch in parameters: products read and reorder them, gradients are added. 3 million
# parameters took 1.5 ms forward and 1.7 ms backward for each micro-batch of 16 tokens.
FORWARD_WEIGHTS, BACKWARD_WEIGHTS = 2.5, 3.0
# Operations of an update: once, and for each tensor (0.8 ms with ZeRO 0, 1.4 with 1 and 2)
UPDATE_CALLS = {"cpu": 250, "cuda": 20}
TENSOR_CALLS, ZERO_TENSOR_CALLS = 4, {"cpu": 23, "cuda": 0}
HIDDEN_SHARE = 0.8  # share of reductions hidden behind the backward pass (overlap_comm, CUDA only)


def time_unavailable_reason(spec: Spec, dtype: str, profile: HardwareProfile | None) -> str:
    """Return what is missing for a prediction of time; '' where nothing is."""
    if profile is None or not profile.flops_per_s:
        return NO_DEVICE
    if dtype not in profile.flops_per_s:
        return f"Not available: the speed of {profile.name} in {dtype} is not known."
    if spec.parallel.world_size > 1 and collectives.slowest_link(profile, spec.parallel.world_size) is None:
        return (
            f"Not available: the links between devices of this kind ({profile.name}) have not been measured."
        )
    return ""


def step_time(
    spec: Spec, dtype: str, profile: HardwareProfile, calibration: Calibration | None,
    trainer: EngineTraits = OWN,
) -> StepTime:  # fmt: skip
    """Predict one step. `time_unavailable_reason` must be empty for the spec."""
    phases = phase_times(spec, dtype, profile, calibration, trainer)
    learnt = {c.phase: c.n for c in calibration.corrections if c.dtype == dtype} if calibration else {}
    step_s = total(phases.values())
    devices = spec.parallel.world_size
    peak = profile.flops_per_s[dtype] * devices if profile.kind == "cuda" else None
    price = profile.price_per_device_hour
    return StepTime(
        device=profile.name,
        standing=profile.standing,
        phases=phases,
        step_s=step_s,
        tokens_per_s=step_s.divide(counts.tokens_per_step(spec)),
        mfu_share=step_s.divide(flops.model_per_step(spec) / peak) if peak else None,
        hfu_share=step_s.divide(flops.hardware_per_step(spec) / peak) if peak else None,
        energy_j=step_energy(phases, profile, devices),
        money=step_s.scaled(price * devices / 3600) if price is not None else None,
        currency=profile.currency,
        calibrated={phase: n for phase, n in learnt.items() if phase in phases},
    )


def phase_times(
    spec: Spec, dtype: str, profile: HardwareProfile, calibration: Calibration | None,
    trainer: EngineTraits = OWN,
) -> dict[str, Estimate]:  # fmt: skip
    raw = uncalibrated_phase_times(spec, dtype, profile, trainer)
    if calibration is None:
        return raw
    return {name: calibration.correct(dtype, name, span) for name, span in raw.items()}


def uncalibrated_phase_times(
    spec: Spec, dtype: str, profile: HardwareProfile, trainer: EngineTraits = OWN
) -> dict[str, Estimate]:
    shapes, micro = stage_shapes(spec, trainer), spec.accumulation
    passes = [_pass(spec, dtype, profile, shape, trainer) for shape in shapes]
    tensor = _tensor_s(spec, dtype, profile, shapes)
    count = len(passes)
    turns = [one.both + Estimate.exactly(cut) for one, cut in zip(passes, tensor, strict=True)]
    slowest = max(turns, key=lambda turn: turn.point)
    # T = sum of tau + (m - 1) x the slowest tau; a stage idles for the part of T in which it computes nothing.
    whole = total(turns) + slowest.scaled(micro - 1)
    busy = total(turns).scaled(micro / count)
    bubble = Estimate(*(max(0.0, a - b) for a, b in zip(_three(whole), _three(busy), strict=True)))
    bubble = bubble.scaled(1 / trainer.stage_chunks)
    forward = total(one.forward for one in passes).scaled(micro / count)
    backward = total(one.backward for one in passes).scaled(micro / count)
    hiding_s = backward.point + (forward.point if spec.parallel.zero_stage == 3 else 0.0)
    exchange = _data_parallel_s(spec, dtype, profile, shapes, hiding_s)
    sends = _send_s(spec, dtype, profile)
    cut = Estimate.exactly(micro * sum(tensor) / count + sends)
    return {
        "data_wait_s": Estimate(0.0, LOADING_S, 4 * LOADING_S).scaled(micro / count),
        "forward_s": forward,
        "backward_s": backward,
        "communication_s": cut + exchange,
        "bubble_s": bubble if count > 1 else ZERO,
        "optimiser_s": _update(spec, dtype, profile, shapes),
        "other_s": Estimate.exactly(profile.one_step_s).scaled(0.3, 1.0, 2.0),
    }


def _three(span: Estimate) -> tuple[float, float, float]:
    return span.low, span.point, span.high


def _pass(
    spec: Spec, dtype: str, profile: HardwareProfile, shape: StageShape, trainer: EngineTraits
) -> PassTime:
    device = DeviceTraits(profile.kind == "cuda", profile.architecture, trainer)
    held = activation_memory(spec, dtype, shape, device)
    whole = held
    if spec.parallel.activation_checkpointing != "none":
        plain = spec.parallel.model_copy(update={"activation_checkpointing": "none"})
        whole = activation_memory(spec.model_copy(update={"parallel": plain}), dtype, shape, device)
    found = pass_time(spec, dtype, profile, shape, held, whole, trainer)
    if profile.kind == "cpu":
        found = _with_micro_batch_costs(found, spec, dtype, profile, shape)
    if spec.parallel.zero_stage != 3:
        return found
    # ZeRO 3 gathers every parameter before each use; on a CPU the Python hooks cost more than the transfer.
    hooks = Estimate.exactly(profile.one_gather_s * shape.num_tensors)
    return dataclasses.replace(
        found, forward=found.forward + hooks, backward=found.backward + hooks.scaled(2)
    )


def _with_micro_batch_costs(
    found: PassTime, spec: Spec, dtype: str, profile: HardwareProfile, shape: StageShape
) -> PassTime:
    """Add what a micro-batch costs beside its arithmetic: Python modules, ZeRO's hooks, parameters that cross the
    memory."""
    hooks = ZERO_HOOKS.get(spec.parallel.zero_stage, 0.0) if spec.parallel.data > 1 else 0.0
    hooks_s = hooks * shape.num_tensors * profile.operation_s
    turn_s = [calls * profile.operation_s if spec.parallel.stages > 1 else 0.0 for calls in TURN_CALLS]
    modules_s = MODULE_CALLS * shape.num_tensors * profile.operation_s
    speed = profile.memory_bytes_per_s
    weights = shape.parameters * BYTES[dtype] / speed if speed else 0.0
    weights_s = profile.memory_share.divide(weights) if weights else ZERO
    return dataclasses.replace(
        found,
        forward=found.forward
        + Estimate.exactly(ZERO_FORWARD * hooks_s + modules_s + turn_s[0])
        + weights_s.scaled(FORWARD_WEIGHTS),
        backward=found.backward + Estimate.exactly(hooks_s + turn_s[1]) + weights_s.scaled(BACKWARD_WEIGHTS),
    )


def _tensor_s(
    spec: Spec, dtype: str, profile: HardwareProfile, shapes: tuple[StageShape, ...]
) -> list[float]:
    """Seconds of each stage's all-reduces in a micro-batch: one per sublayer and pass, one more with recomputation."""
    ranks = spec.parallel.tensor
    if ranks == 1:
        return [0.0] * len(shapes)
    link = _link(profile, ranks)
    size = spec.batch.micro_batch_size * spec.model.context * spec.model.width * BYTES[dtype]
    passes = 3 if spec.parallel.activation_checkpointing == "full" else 2
    once = collectives.all_reduce_s(size, ranks, link)
    return [
        passes * once * sum((3 if kind == "cross_block" else 2) * many for kind, many in shape.blocks.items())
        for shape in shapes
    ]


def _send_s(spec: Spec, dtype: str, profile: HardwareProfile) -> float:
    """Seconds to send activations forward and gradients back, mean over the stages."""
    stages, micro = spec.parallel.stages, spec.accumulation
    if stages == 1:
        return 0.0
    tensors = 2 if spec.model.family == "encoder-decoder" else 1
    size = spec.batch.micro_batch_size * spec.model.context * spec.model.width * BYTES[dtype] * tensors
    link = _link(profile, spec.parallel.world_size)
    return 2 * micro * 2 * (stages - 1) / stages * collectives.send_s(size, link)


def _data_parallel_s(
    spec: Spec, dtype: str, profile: HardwareProfile, shapes: tuple[StageShape, ...], hiding_s: float
) -> Estimate:
    """Exposed time of data-parallel communication. ZeRO 0 and 1 reduce once a step, 2 and 3 in every micro-batch; 1 and
    2 then gather parameters once, 3 gathers them twice in every micro-batch. `hiding_s`: of the passes that it may
    overlap."""
    ranks, zero, micro = spec.parallel.data, spec.parallel.zero_stage, spec.accumulation
    if ranks == 1:
        return ZERO
    link = collectives.group_link(profile, ranks, spec.parallel.tensor)
    assert link is not None, "time_unavailable_reason comes first"
    size = sum(shape.trained for shape in shapes) / len(shapes) * BYTES[dtype]
    gathered = size if zero != 3 else sum(shape.parameters for shape in shapes) / len(shapes) * BYTES[dtype]
    reductions = micro if zero >= 2 else 1
    gathers = {0: 0, 1: 1, 2: 1, 3: 2 * micro}[zero]
    pieces = max(1.0, size / BYTES[dtype] / FLAT_ELEMENTS)
    # gloo has no reduce-scatter: ZeRO 3 sends an all-reduce instead (sent on 3 ranks: 28 / 3 sizes in 7 micro-batches).
    scatters = zero == 3 and profile.kind == "cuda"
    reduce_s = reductions * collectives.all_reduce_s(size, ranks, link) * (0.5 if scatters else 1)
    gather_s = gathers * collectives.gather_s(gathered, ranks, link) + pieces * link.latency_s
    if profile.kind == "cpu":
        return Estimate.exactly(reduce_s + gather_s)
    whole, overlaps = reduce_s + gather_s, reduce_s + (gather_s if zero == 3 else 0.0)
    hidden = min(HIDDEN_SHARE * overlaps, hiding_s)
    return Estimate(max(0.0, whole - min(overlaps, hiding_s)), whole - hidden, whole)


def _link(profile: HardwareProfile, ranks: int) -> Link:
    link = collectives.slowest_link(profile, ranks)
    assert link is not None, "time_unavailable_reason comes first"
    return link


def _update(spec: Spec, dtype: str, profile: HardwareProfile, shapes: tuple[StageShape, ...]) -> Estimate:
    """Gradient clipping and optimiser update of the largest stage."""
    zero = spec.parallel.zero_stage
    owned, size = update_traffic(spec, dtype, max(shape.trained for shape in shapes))
    tensors = max(shape.num_tensors for shape in shapes)
    each_call = ZERO_TENSOR_CALLS[profile.kind] if zero else TENSOR_CALLS
    calls_s = profile.operation_s * (UPDATE_CALLS[profile.kind] + each_call * tensors)
    if spec.parallel.offload_optimiser != "none" and profile.kind == "cuda":
        return _offloaded_update(spec, dtype, profile, owned, size) + Estimate.exactly(calls_s)
    speed = profile.optimiser_bytes_per_s or profile.memory_bytes_per_s
    if not speed:
        return Estimate(calls_s, 2 * calls_s, 10 * calls_s)
    share = Estimate(0.6, 0.85, 1.0) if profile.optimiser_bytes_per_s else profile.memory_share
    return share.divide(size / speed) + Estimate.exactly(calls_s)


def update_traffic(spec: Spec, dtype: str, parameters: float) -> tuple[float, float]:
    """Parameters that a rank of a stage with so many updates, and the bytes that this moves."""
    zero = spec.parallel.zero_stage
    owned = parameters / spec.parallel.data if zero else parameters
    master = 4 if zero or BYTES[dtype] == 2 else 0
    each = UPDATE_BYTES + 2 * spec.optimiser.row.state_bytes(spec) + (ZERO_BYTES if zero else 0) + 2 * master
    clipping = CLIP_BYTES if spec.optimiser.gradient_clip > 0 else 4
    return owned, owned * (each + clipping)


def _offloaded_update(
    spec: Spec, dtype: str, profile: HardwareProfile, owned: float, size: float
) -> Estimate:
    """Gradients to the host (ZeRO 2 and 3: in every micro-batch), the update there by all ranks of a node at once, and
    parameters back."""
    ranks = min(spec.parallel.world_size, profile.devices_per_node or 1)
    update = HOST_OPTIMISER_BYTES_PER_S.divide(size * ranks)
    if profile.host_link is None:
        return update
    copies = (spec.accumulation if spec.parallel.zero_stage >= 2 else 1) + 1
    moved_s = copies * owned * BYTES[dtype] / profile.host_link.bytes_per_s
    return update + Estimate(moved_s, moved_s, 2 * moved_s)


def step_energy(phases: dict[str, Estimate], profile: HardwareProfile, devices: int) -> Estimate | None:
    """Energy of one step from the power levels for computing, communicating and waiting."""
    power = profile.power
    if power is None:
        return None
    level = dict.fromkeys(PHASES, power.waiting_w) | {
        "forward_s": power.compute_w, "backward_s": power.compute_w, "optimiser_s": power.compute_w,
        "communication_s": power.communication_w,
    }  # fmt: skip
    return total(span.scaled(level[name] * devices) for name, span in phases.items())
