"""Work of a step by phase, and the ceilings of a device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.planner.activations import DeviceTraits, activation_memory, stage_shapes
from engine.planner.memory import BYTES
from engine.planner.profile import HardwareProfile
from engine.planner.rates import Work, pass_work
from engine.planner.steptime import update_traffic
from engine.planner.traits import OWN
from engine.spec.spec import Spec

# FLOPs of an update per parameter: the moments, their correction, the step and the decay (arXiv 1412.6980, algorithm
# 1). Other optimisers differ by some operations, which moves the point little: the update moves dozens of bytes for it.
UPDATE_FLOPS = 16
FORMATS = ("fp32", "tf32", "bf16", "fp16")


@dataclass(frozen=True)
class Ceilings:
    """Speeds of one device. `standing`: measured by a probe, or estimated from the data sheet."""

    device: str
    standing: str
    source: str
    memory_bytes_per_s: float
    flops_per_s: Mapping[str, float]  # by number format

    def attainable(self, intensity: float, dtype: str) -> float:
        """FLOP/s that the device allows at this number of FLOPs per byte."""
        return min(self.flops_per_s[dtype], intensity * self.memory_bytes_per_s)

    def ridge(self, dtype: str) -> float:
        """The intensity above which products limit, not the memory."""
        return self.flops_per_s[dtype] / self.memory_bytes_per_s


def step_work(spec: Spec, dtype: str, kind: str, architecture: str = "") -> dict[str, Work]:
    """Phase -> work of one rank in a step, mean over the stages, counted as the step model counts it. The only place
    that asks the step model for products and bytes."""
    device = DeviceTraits(kind == "cuda", architecture, OWN)
    shapes = stage_shapes(spec, OWN)
    forward, backward, update = Work(0.0, 0.0), Work(0.0, 0.0), Work(0.0, 0.0)
    for shape in shapes:
        held = whole = activation_memory(spec, dtype, shape, device)
        if spec.parallel.activation_checkpointing != "none":
            plain = spec.parallel.model_copy(update={"activation_checkpointing": "none"})
            whole = activation_memory(spec.model_copy(update={"parallel": plain}), dtype, shape, device)
        # Each pass reads the weights once, and the backward pass adds to their gradients
        weights = shape.parameters * BYTES[dtype]
        one, back = pass_work(spec, shape, held, whole)
        forward += Work(one.flops, one.bytes + weights)
        backward += Work(back.flops, back.bytes + 3 * weights)
        owned, moved = update_traffic(spec, dtype, shape.trained)
        update += Work(UPDATE_FLOPS * owned, moved)
    passes, stages = spec.accumulation / len(shapes), 1 / len(shapes)
    return {
        "forward_s": forward.scaled(passes),
        "backward_s": backward.scaled(passes),
        "optimiser_s": update.scaled(stages),
    }


def get_ceilings(profile: HardwareProfile) -> Ceilings | None:
    """None where the speed of the memory or of every product is unknown."""
    flops = {name: profile.flops_per_s[name] for name in FORMATS if profile.flops_per_s.get(name)}
    for name, curve in profile.curves.items():  # the fastest size that a probe found
        if name in flops:
            flops[name] = max([flops[name], *(rate for _, rate in curve)])
    if not profile.memory_bytes_per_s or not flops:
        return None
    return Ceilings(profile.name, profile.standing, profile.source, profile.memory_bytes_per_s, flops)
