"""Time of one step by the phases that ranks measure, from a device's rates. Phases are means over the ranks."""

from __future__ import annotations

import dataclasses

from engine.model_math import counts, flops
from engine.planner import collectives
from engine.planner.activations import StageShape, held_by, stage_shapes
from engine.planner.calibration import PHASES, Calibration
from engine.planner.memory import BYTES, FLAT_ELEMENTS
from engine.planner.plan import StepTime
from engine.planner.profile import DeviceProfile, Link
from engine.planner.ranges import NOTHING, Range, total
from engine.planner.rates import PassTime, pass_time
from engine.spec.spec import Spec

NO_DEVICE = "Not available: this device has not been probed, and its speed is not guessed."
LOADING_S = 1e-4  # a micro-batch is a slice of a mapped file
# Bytes of an update for each parameter that a rank owns beside the state, which is read and written: gradient and
# parameter; with ZeRO also the flat copies of both; the norm reads gradients once and clipping scales them.
UPDATE_BYTES, ZERO_BYTES, CLIP_BYTES = 12, 16, 12
HIDDEN_SHARE = 0.7  # of reductions that run beside the backward pass (overlap_comm, CUDA only)


def why_no_time(spec: Spec, dtype: str, profile: DeviceProfile | None) -> str:
    """What is missing; '' where time can be predicted. Never a guess."""
    if profile is None or not profile.flops_per_s:
        return NO_DEVICE
    if dtype not in profile.flops_per_s:
        return f"Not available: the speed of {profile.name} in {dtype} is not known."
    if spec.parallel.world_size > 1 and collectives.link_of(profile, spec.parallel.world_size) is None:
        return (
            f"Not available: the links between devices of this kind ({profile.name}) have not been measured."
        )
    return ""


def step_time(spec: Spec, dtype: str, profile: DeviceProfile, calibration: Calibration | None) -> StepTime:
    """Of a spec for which `why_no_time` has nothing to say."""
    phases = phases_of(spec, dtype, profile, calibration)
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
        tokens_per_s=step_s.under(counts.tokens_per_step(spec)),
        mfu_share=step_s.under(flops.model_per_step(spec) / peak) if peak else None,
        hfu_share=step_s.under(flops.hardware_per_step(spec) / peak) if peak else None,
        energy_j=energy_of(phases, profile, devices),
        money=step_s.scaled(price * devices / 3600) if price is not None else None,
        currency=profile.currency,
        calibrated={phase: n for phase, n in learnt.items() if phase in phases},
    )


def phases_of(
    spec: Spec, dtype: str, profile: DeviceProfile, calibration: Calibration | None
) -> dict[str, Range]:
    raw = raw_phases(spec, dtype, profile)
    if calibration is None:
        return raw
    return {name: calibration.applied(dtype, name, span) for name, span in raw.items()}


def raw_phases(spec: Spec, dtype: str, profile: DeviceProfile) -> dict[str, Range]:
    shapes, micro = stage_shapes(spec), spec.accumulation
    passes = [_pass(spec, dtype, profile, shape) for shape in shapes]
    tensor = _tensor_s(spec, dtype, profile, shapes)
    count = len(passes)
    turns = [one.both + Range.exactly(cut) for one, cut in zip(passes, tensor, strict=True)]
    slowest = max(turns, key=lambda turn: turn.point)
    # T = sum of tau + (m - 1) of the slowest; a stage waits for what it does not compute of that.
    whole = total(turns) + slowest.scaled(micro - 1)
    busy = total(turns).scaled(micro / count)
    bubble = Range(*(max(0.0, a - b) for a, b in zip(_three(whole), _three(busy), strict=True)))
    backward = total(one.backward for one in passes).scaled(micro / count)
    exchange = _data_parallel_s(spec, dtype, profile, shapes, backward.point)
    sends = _send_s(spec, dtype, profile)
    cut = Range.exactly(micro * sum(tensor) / count + sends)
    return {
        "data_wait_s": Range(0.0, LOADING_S, 4 * LOADING_S).scaled(micro / count),
        "forward_s": total(one.forward for one in passes).scaled(micro / count),
        "backward_s": backward,
        "communication_s": cut + exchange,
        "bubble_s": bubble if count > 1 else NOTHING,
        "optimiser_s": _update(spec, dtype, profile, shapes),
        "other_s": Range.exactly(profile.one_step_s).scaled(0.3, 1.0, 2.0),
    }


def _three(span: Range) -> tuple[float, float, float]:
    return span.low, span.point, span.high


def _pass(spec: Spec, dtype: str, profile: DeviceProfile, shape: StageShape) -> PassTime:
    on_cuda = profile.kind == "cuda"
    held = held_by(spec, dtype, shape, on_cuda)
    whole = held
    if spec.parallel.activation_checkpointing != "none":
        plain = spec.parallel.model_copy(update={"activation_checkpointing": "none"})
        whole = held_by(spec.model_copy(update={"parallel": plain}), dtype, shape, on_cuda)
    found = pass_time(spec, dtype, profile, shape, held, whole)
    if spec.parallel.zero_stage != 3:
        return found
    # Every parameter is gathered before each use; on a CPU the hooks in Python cost more than the bytes.
    hooks = Range.exactly(profile.one_gather_s * shape.num_tensors)
    return dataclasses.replace(
        found, forward=found.forward + hooks, backward=found.backward + hooks.scaled(2)
    )


def _tensor_s(spec: Spec, dtype: str, profile: DeviceProfile, shapes: tuple[StageShape, ...]) -> list[float]:
    """Seconds of each stage's all-reduces in one micro-batch: one per sublayer and pass, one more where recomputed."""
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


def _send_s(spec: Spec, dtype: str, profile: DeviceProfile) -> float:
    """Activations ahead and gradients back, mean over the stages."""
    stages, micro = spec.parallel.stages, spec.accumulation
    if stages == 1:
        return 0.0
    tensors = 2 if spec.model.family == "encoder-decoder" else 1
    size = spec.batch.micro_batch_size * spec.model.context * spec.model.width * BYTES[dtype] * tensors
    link = _link(profile, spec.parallel.world_size)
    return 2 * micro * 2 * (stages - 1) / stages * collectives.send_s(size, link)


def _data_parallel_s(
    spec: Spec, dtype: str, profile: DeviceProfile, shapes: tuple[StageShape, ...], backward_s: float
) -> Range:
    """What is exposed of the exchange between copies of the model. ZeRO 0 and 1 reduce once a step, 2 and 3 in every
    micro-batch; 1 and 2 then gather parameters, 3 gathers them twice in every micro-batch."""
    ranks, zero, micro = spec.parallel.data, spec.parallel.zero_stage, spec.accumulation
    if ranks == 1:
        return NOTHING
    link = _link(profile, spec.parallel.tensor * ranks)
    size = sum(shape.parameters for shape in shapes) / len(shapes) * BYTES[dtype]
    reductions = micro if zero >= 2 else 1
    gathers = {0: 0, 1: 1, 2: 1, 3: 2 * micro}[zero]
    pieces = max(1.0, size / BYTES[dtype] / FLAT_ELEMENTS)
    reduce_s = reductions * collectives.all_reduce_s(size, ranks, link) * (1 if zero < 3 else 0.5)
    gather_s = gathers * collectives.gather_s(size, ranks, link) + pieces * link.latency_s
    if profile.kind == "cpu":
        return Range.exactly(reduce_s + gather_s)
    hidden = min(HIDDEN_SHARE * (reduce_s + (gather_s if zero == 3 else 0.0)), backward_s)
    high = reduce_s + gather_s
    return Range(max(0.0, high - backward_s), high - hidden, high)


def _link(profile: DeviceProfile, ranks: int) -> Link:
    link = collectives.link_of(profile, ranks)
    assert link is not None, "asked only after why_no_time"
    return link


def _update(spec: Spec, dtype: str, profile: DeviceProfile, shapes: tuple[StageShape, ...]) -> Range:
    """Clipping and update, of the stage that holds most."""
    zero = spec.parallel.zero_stage
    count = max(shape.parameters for shape in shapes)
    owned = count / spec.parallel.data if zero else count
    master = 4 if zero or BYTES[dtype] == 2 else 0
    each = UPDATE_BYTES + 2 * spec.optimiser.row.state_bytes(spec) + (ZERO_BYTES if zero else 0) + 2 * master
    clipping = CLIP_BYTES if spec.optimiser.gradient_clip > 0 else 4
    size = owned * (each + clipping)
    tensors = max(shape.num_tensors for shape in shapes)
    calls_s = profile.operation_s * (20 + (0 if zero else 4 * tensors))
    if spec.parallel.offload_optimiser != "none" and profile.host_link is not None:
        moved = owned * 4 / profile.host_link.bytes_per_s
        return Range.exactly(calls_s + 2 * moved).scaled(1.0, 1.5, 4.0)
    speed = profile.optimiser_bytes_per_s or profile.memory_bytes_per_s
    if not speed:
        return Range(calls_s, 2 * calls_s, 10 * calls_s)
    share = Range(0.6, 0.85, 1.0) if profile.optimiser_bytes_per_s else profile.memory_share
    return share.under(size / speed) + Range.exactly(calls_s)


def energy_of(phases: dict[str, Range], profile: DeviceProfile, devices: int) -> Range | None:
    """Three power levels: while computing, while communicating, while waiting."""
    power = profile.power
    if power is None:
        return None
    level = dict.fromkeys(PHASES, power.waiting_w) | {
        "forward_s": power.compute_w, "backward_s": power.compute_w, "optimiser_s": power.compute_w,
        "communication_s": power.communication_w,
    }  # fmt: skip
    return total(span.scaled(level[name] * devices) for name, span in phases.items())
