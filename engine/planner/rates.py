"""How long a stage's matrices, streams and calls take on a device, for one micro-batch."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate

from engine.model_math.flops import BACKWARD
from engine.planner.activations import Held, StageShape
from engine.planner.profile import DeviceProfile
from engine.planner.ranges import Range
from engine.spec.spec import Spec

FORWARD_PASSES = (
    2.0  # times that what is held for the backward pass crosses the memory: written, and read by the next
)
BACKWARD_PASSES = 4.0  # read again, with gradients of the same size written and read


@dataclass(frozen=True, slots=True)
class PassTime:
    forward: Range
    backward: Range

    @property
    def both(self) -> Range:
        return self.forward + self.backward


def pass_time(
    spec: Spec, dtype: str, profile: DeviceProfile, shape: StageShape, held: Held, whole: Held
) -> PassTime:
    """`held` with what is recomputed left out, `whole` with everything: all of it crosses the memory once."""
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


def product_rate(spec: Spec, dtype: str, profile: DeviceProfile) -> float:
    """FLOP/s of the model's typical matrix product. A probe's curve says what its size is good for; a data sheet's peak
    holds for large ones only."""
    peak = profile.flops_per_s[dtype]
    curve = profile.curves.get(dtype)
    if not curve:
        return peak
    tokens = spec.batch.micro_batch_size * spec.model.context
    inner = spec.model.width * spec.model.ffn_width / spec.parallel.tensor
    return _on_curve(curve, (tokens * inner) ** (1 / 3))


def _on_curve(curve: list[tuple[int, float]], size: float) -> float:
    """Between two measured sizes by the logarithm of the size. A large product can be cut into smaller ones, so a rate
    that falls was measured while somebody else used the device."""
    sizes = [one for one, _ in curve]
    rates = list(accumulate((rate for _, rate in curve), max))
    place = bisect_left(sizes, size)
    if place == 0 or place == len(curve):
        return rates[min(place, len(curve) - 1)]
    left, slow, right, fast = sizes[place - 1], rates[place - 1], sizes[place], rates[place]
    share = math.log(size / left) / math.log(right / left)
    return slow + share * (fast - slow)


def _roofline(profile: DeviceProfile, math_s: float, streams: float, calls_s: float) -> Range:
    """Low: the longest of the three alone; high: all of them one after the other, at the worst shares."""
    compute = profile.compute_share.under(math_s)
    speed = profile.memory_bytes_per_s
    memory = profile.memory_share.under(streams / speed) if speed else Range.exactly(0.0)
    low = max(compute.low, memory.low, calls_s)
    high = compute.high + memory.high + calls_s
    if profile.kind == "cuda":  # the host runs ahead of the device unless kernels are too short
        point = max(compute.point + memory.point, calls_s)
    else:
        point = compute.point + memory.point + calls_s
    return Range(min(low, point), point, high)
