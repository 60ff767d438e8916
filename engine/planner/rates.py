"""Forward and backward time of a micro-batch on one stage."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate

from engine.model_math.flops import BACKWARD, Forward, forward_of
from engine.planner.activations import ActivationMemory, StageShape
from engine.planner.estimate import ZERO, Estimate
from engine.planner.profile import HardwareProfile
from engine.planner.traits import OWN, EngineTraits
from engine.spec.spec import Spec

# Number of times that activations cross the memory: written and read by the next layer in the forward pass; read again
# in the backward pass, with gradients of the same size written and read.
FORWARD_PASSES = 2.0
BACKWARD_PASSES = 4.0
# Fused attention computes scores again in its backward pass: five products for two (arXiv 2307.08691).
FUSED_BACKWARD = 2.5
# Pointwise operations that a compiler fuses: their memory traffic, and the calls that remain.
FUSED_STREAMS, FUSED_CALLS = 0.6, 0.3
# Matrices of a rank that do not fill the tiles of tensor cores. BigScience measured 94 TFLOP/s with a width of 14,400
# on 8 tensor ranks and 120 with 13,824 (their notes of February 2022).
TILE, HEAD_TILE, UNALIGNED_SHARE = 64, 8, 0.79


CALL_RANGE = (0.6, 1.0, 2.0)  # of the time in which the host launches an operation


@dataclass(frozen=True, slots=True)
class Work:
    """FLOPs, and bytes to and from the memory of a device."""

    flops: float
    bytes: float

    def __add__(self, other: Work) -> Work:
        return Work(self.flops + other.flops, self.bytes + other.bytes)

    def scaled(self, factor: float) -> Work:
        return Work(self.flops * factor, self.bytes * factor)


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
    trainer: EngineTraits = OWN,
) -> PassTime:
    """`held` leaves out what is recomputed, `whole` includes it: all of it crosses the memory once."""
    products, scores, again = _work(spec, shape, trainer)
    rate = product_rate(spec, dtype, profile)
    forward_bytes, backward_bytes = _traffic(held, whole, trainer)
    calls = FUSED_CALLS if trainer.is_compiled else 1.0
    calls_s = [count * calls * profile.operation_s for count in held.operations]
    attention, growth = profile.compute_share.scaled(rate), float(BACKWARD)
    if trainer.has_fused_attention and dtype in profile.attention_flops_per_s:
        attention, growth = profile.attention_flops_per_s[dtype], FUSED_BACKWARD
    forward_s = profile.compute_share.divide(products / rate) + attention.divide(scores)
    backward_s = profile.compute_share.divide((_product_growth(spec) * products + again.matrices) / rate)
    backward_s += attention.divide(growth * scores + again.needed_scores)
    forward = _roofline(profile, forward_s, forward_bytes, calls_s[0])
    backward = _roofline(profile, backward_s, backward_bytes, calls_s[1])
    return PassTime(forward, backward)


def pass_work(
    spec: Spec,
    shape: StageShape,
    held: ActivationMemory,
    whole: ActivationMemory,
    trainer: EngineTraits = OWN,
) -> tuple[Work, Work]:
    """Work of one micro-batch forward and backward on one rank. Fused attention computes its scores
    again in the backward pass, which counts."""
    products, scores, again = _work(spec, shape, trainer)
    growth = FUSED_BACKWARD if trainer.has_fused_attention else float(BACKWARD)
    backward = _product_growth(spec) * products + again.matrices + growth * scores + again.needed_scores
    forward_bytes, backward_bytes = _traffic(held, whole, trainer)
    return Work(products + scores, forward_bytes), Work(backward, backward_bytes)


def _product_growth(spec: Spec) -> int:
    """Products of the backward pass for one of the forward pass: a frozen matrix has no gradient of its own."""
    return 1 if spec.adapter.is_on else BACKWARD


def _traffic(held: ActivationMemory, whole: ActivationMemory, trainer: EngineTraits) -> tuple[float, float]:
    """Bytes that the forward and the backward pass of a micro-batch move."""
    # Scores in memory are most of the traffic where there are any, and are read and written as often when compiled.
    crossing = FUSED_STREAMS if trainer.is_compiled and trainer.has_fused_attention else 1.0
    streams = crossing * (whole.micro_batch + whole.logits)
    repeated = crossing * (whole.micro_batch - held.micro_batch)
    return FORWARD_PASSES * streams, BACKWARD_PASSES * streams + FORWARD_PASSES * repeated


def _work(spec: Spec, shape: StageShape, trainer: EngineTraits) -> tuple[float, float, Forward]:
    """Forward FLOPs of one tensor rank and micro-batch in products and in attention scores, and those that the backward
    pass repeats. Tensor ranks share the blocks; each computes the whole head."""
    sequences, tensor = spec.batch.micro_batch_size, spec.parallel.tensor
    head = forward_of(spec, "head").matrices if "head" in shape.ends else 0.0
    blocks = (shape.forward.matrices - head) / tensor
    scores = shape.forward.needed_scores if trainer.has_fused_attention else shape.forward.scores
    scores *= sequences / tensor
    products = sequences * (blocks + head / (tensor if trainer.splits_head else 1))
    recompute = spec.parallel.activation_checkpointing
    if recompute == "full":
        return products, scores, Forward(matrices=sequences * blocks, needed_scores=scores)
    if recompute == "selective" and trainer.recomputes_core:
        return products, scores, Forward(needed_scores=0.0 if trainer.has_fused_attention else scores)
    if recompute == "selective" and trainer.recomputes_operations:
        return products, scores, Forward(matrices=sequences * blocks / 2)
    if recompute == "selective":
        projections = sequences * (shape.forward.again - shape.forward.needed_scores) / tensor
        return products, scores, Forward(matrices=projections, needed_scores=scores)
    return products, scores, Forward()


def product_rate(spec: Spec, dtype: str, profile: HardwareProfile) -> float:
    """FLOP/s of the model's typical matrix product, from the probe's curve at its size; else the peak, which only large
    products reach."""
    peak = profile.flops_per_s[dtype]
    curve = profile.curves.get(dtype)
    if not curve:
        return peak * (UNALIGNED_SHARE if profile.kind == "cuda" and _is_unaligned(spec) else 1.0)
    tokens = spec.batch.micro_batch_size * spec.model.context
    inner = spec.model.width * spec.model.ffn_width / spec.parallel.tensor
    return _interpolate(curve, (tokens * inner) ** (1 / 3))


def _is_unaligned(spec: Spec) -> bool:
    model, tensor = spec.model, spec.parallel.tensor
    sizes = (model.width // tensor, model.ffn_width // tensor)
    return any(size % TILE for size in sizes) or bool(model.head_size % HEAD_TILE)


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


def _roofline(profile: HardwareProfile, compute: Estimate, streams: float, calls_s: float) -> Estimate:
    """On a GPU kernels run one after the other, and the host runs ahead unless they are too short. On a CPU low is the
    longest of the three, fully overlapped, and high all three in sequence at the worst shares."""
    speed = profile.memory_bytes_per_s
    memory = profile.memory_share.divide(streams / speed) if speed else ZERO
    kernels = compute + memory
    if profile.kind == "cuda":
        low, point, high = (
            max(span, calls_s * factor)
            for span, factor in zip((kernels.low, kernels.point, kernels.high), CALL_RANGE, strict=True)
        )
        return Estimate(low, point, high)
    low, point = max(compute.low, memory.low, calls_s), kernels.point + calls_s
    return Estimate(min(low, point), point, kernels.high + calls_s)
