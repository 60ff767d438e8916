"""Costs of a step by phase, with the part that repeats with each micro-batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from engine.hardware import peaks
from engine.planner import collectives
from engine.planner.predict import resolve_dtype
from engine.planner.profile import HardwareProfile, Link, profile_from_peak
from engine.planner.steptime import phase_times, time_unavailable_reason
from engine.planner.traits import OWN, EngineTraits
from engine.spec.spec import Spec

PASSES = ("forward_s", "backward_s")
# A core of a shared server, for a CPU that was not probed: fp32 products, copies, and one eager operation. From the
# probes of two machines (8 to 60 GFLOP/s, 4 to 12 GB/s, 5 to 12 microseconds).
GENERIC_CPU = HardwareProfile(
    name="CPU", kind="cpu", standing="estimated", source="not probed",
    flops_per_s={"fp32": 3e10, "bf16": 3e9}, memory_bytes_per_s=6e9, operation_s=8e-6,
)  # fmt: skip
GENERIC_GPU = "A100 SXM 80"


@dataclass(frozen=True)
class StepCosts:
    """Seconds of one step, mean over the ranks."""

    phases: Mapping[str, float]
    repeated_s: Mapping[
        str, float
    ]  # part of PASSES that a single micro-batch of the same sequences would save
    payload_s: float  # part of communication_s that grows with the bytes, not with the number of calls
    standing: str  # of the device's speeds: measured or estimated


def predict_costs(spec: Spec, profile: HardwareProfile, trainer: EngineTraits = OWN) -> StepCosts:
    """Predict the costs of a step. Raises ValueError with the reason where the device is not known well enough."""
    dtype = resolve_dtype(spec, profile)
    if reason := time_unavailable_reason(spec, dtype, profile):
        raise ValueError(reason)
    phases = _get_points(spec, dtype, profile, trainer)
    single = _get_points(_with_one_micro_batch(spec), dtype, profile, trainer)
    repeated = {name: max(0.0, phases[name] - single[name]) for name in PASSES}
    payload_s = 0.0
    if phases["communication_s"] > 0:
        payload_s = _get_points(spec, dtype, _without_latency(profile, spec), trainer)["communication_s"]
    return StepCosts(phases, repeated, payload_s, profile.standing)


@lru_cache(maxsize=2)
def generic_profile(kind: str) -> HardwareProfile:
    """A device of this kind (cpu, cuda) whose speeds are not known: only ratios of its costs mean something."""
    if kind == "cpu":
        return GENERIC_CPU
    peak = next(peak for peak in peaks.PEAKS if peak.name == GENERIC_GPU)
    return replace(profile_from_peak(peak), memory_bytes=None)


def _with_one_micro_batch(spec: Spec) -> Spec:
    size = spec.batch.micro_batch_size * spec.accumulation
    return spec.model_copy(update={"batch": spec.batch.model_copy(update={"micro_batch_size": size})})


def _get_points(spec: Spec, dtype: str, profile: HardwareProfile, trainer: EngineTraits) -> dict[str, float]:
    return {name: span.point for name, span in phase_times(spec, dtype, profile, None, trainer).items()}


def _without_latency(profile: HardwareProfile, spec: Spec) -> HardwareProfile:
    within = profile.within_node or collectives.slowest_link(profile, min(2, spec.parallel.world_size))
    between = profile.between_nodes
    return replace(
        profile,
        within_node=Link(0.0, within.bytes_per_s) if within else None,
        between_nodes=Link(0.0, between.bytes_per_s) if between else None,
    )
