"""Forward and backward time of a micro-batch on one stage."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate

from engine.model_math.flops import BACKWARD
from engine.planner.activations import ActivationMemory, StageShape
from engine.planner.estimate import Estimate
from engine.planner.profile import HardwareProfile
from engine.spec.spec import Spec

# Number of times that activations cross the memory: written and read by the next layer in the forward pass; read again
# in the backward pass, with gradients of the same size written and read.
FORWARD_PASSES = 2.0
BACKWARD_PASSES = 4.0


@dataclass(frozen=True, slots=True)
class PassTime:
    forward: Estimate
    backward: Estimate

    @property
    def both(self) -> Estimate:
        return self.forward + self.backward


def pass_time(
    spec: Spec,
    dtype: str,
    profile: HardwareProfile,
    shape: StageShape,
    held: ActivationMemory,
    whole: ActivationMemory,
) -> PassTime:
    """`held` leaves out what is recomputed, `whole` includes it: all of it crosses the memory once."""
    sequences, tensor = spec.batch.micro_batch_size, spec.parallel.tensor
    work = sequences * shape.forward.model / tensor
    recompute = spec.parallel.activation_checkpointing
    again = {"none": 0.0, "selective": sequences * shape.forward.again / tensor, "full": work}[recompute]
    rate = product_rate(spec, dtype, profile)
    streams = whole.micro_batch + whole.logits
    repeated = 0.0 if recompute == "none" else whole.micro_batch - held.micro_batch
    calls_s = [count * profile.operation_s for count in held.operations]
    forward = _roofline(profile, work / rate, FORWARD_PASSES * streams, calls_s[0])
    backward = _roofline(
        profile,
        (BACKWARD * work + again) / rate,
        BACKWARD_PASSES * streams + FORWARD_PASSES * repeated,
        calls_s[1],
    )
    return PassTime(forward, backward)


def product_rate(spec: Spec, dtype: str, profile: HardwareProfile) -> float:
    """FLOP/s of the model's typical matrix product, from the probe's curve at its size; else the peak, which only large
    products reach."""
    peak = profile.flops_per_s[dtype]
    curve = profile.curves.get(dtype)
    if not curve:
        return peak
    tokens = spec.batch.micro_batch_size * spec.model.context
    inner = spec.model.width * spec.model.ffn_width / spec.parallel.tensor
    return _interpolate(curve, (tokens * inner) ** (1 / 3))


def _interpolate(curve: list[tuple[int, float]], size: float) -> float:
    """Interpolate in the logarithm of the size. A large product can be split into smaller ones, so a rate that falls
    with size was measured while the device was shared, and the maximum so far replaces it."""
    sizes = [one for one, _ in curve]
    rates = list(accumulate((rate for _, rate in curve), max))
    index = bisect_left(sizes, size)
    if index == 0 or index == len(curve):
        return rates[min(index, len(curve) - 1)]
    left, slow, right, fast = sizes[index - 1], rates[index - 1], sizes[index], rates[index]
    share = math.log(size / left) / math.log(right / left)
    return slow + share * (fast - slow)


def _roofline(profile: HardwareProfile, math_s: float, streams: float, calls_s: float) -> Estimate:
    """Low: the longest of the three, fully overlapped; high: all three in sequence at the worst shares."""
    compute = profile.compute_share.divide(math_s)
    speed = profile.memory_bytes_per_s
    memory = profile.memory_share.divide(streams / speed) if speed else Estimate.exactly(0.0)
    low = max(compute.low, memory.low, calls_s)
    high = compute.high + memory.high + calls_s
    if profile.kind == "cuda":  # the host runs ahead unless kernels are too short
        point = max(compute.point + memory.point, calls_s)
    else:
        point = compute.point + memory.point + calls_s
    return Estimate(min(low, point), point, high)
