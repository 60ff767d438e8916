"""Prediction of a spec's plan and of the effect of a change."""

from __future__ import annotations

from engine.model_math import counts, flops
from engine.model_math.adapters import trained_parameters
from engine.planner.calibration import MEMORY, Calibration
from engine.planner.estimate import Estimate
from engine.planner.memory import stage_memory
from engine.planner.places import find_warnings, place_uses
from engine.planner.plan import PLANNER_VERSION, Plan, PlanChange
from engine.planner.plan_parts import StageMemory
from engine.planner.profile import HardwareProfile
from engine.planner.steptime import step_time, time_unavailable_reason
from engine.planner.traits import OWN, EngineTraits
from engine.spec.spec import Spec

# Memory that the allocator keeps beside what is alive. CUDA: torch reserved 1 to 9 % more than was allocated at the
# peak in published runs of nanotron. CPU: glibc keeps freed pieces, 3 to 39 % (decision 124).
ALLOCATOR_SHARE = {"cuda": 0.1, "cpu": 0.39}


def plan(
    spec: Spec,
    profile: HardwareProfile | None = None,
    calibration: Calibration | None = None,
    *,
    dtype: str | None = None,
    trainer: EngineTraits = OWN,
) -> Plan:
    """Predict a spec that passed `checks`: memory always, time only for a known device.
    `dtype` overrides what precision 'auto' resolves to; `trainer` is another trainer than this engine."""
    chosen = dtype or resolve_dtype(spec, profile)
    why_not = time_unavailable_reason(spec, chosen, profile)
    time = None if why_not or profile is None else step_time(spec, chosen, profile, calibration, trainer)
    stages = tuple(
        stage_memory(spec, chosen, stage, profile, trainer) for stage in range(spec.parallel.stages)
    )
    peak, places = peak_range(stages, profile), place_uses(spec, stages, profile)
    return Plan(
        version=PLANNER_VERSION,
        dtype=chosen,
        num_parameters=counts.parameters(spec),
        world_size=spec.parallel.world_size,
        accumulation=spec.accumulation,
        tokens_per_step=counts.tokens_per_step(spec),
        flops_per_step=flops.model_per_step(spec),
        stages=stages,
        num_steps=spec.budget.steps,
        num_trained=trained_parameters(spec) if spec.adapter.is_on else None,
        flops_palm_per_step=flops.palm_per_step(spec),
        flops_hardware_per_step=flops.hardware_per_step(spec),
        memory_range=calibration.correct(chosen, MEMORY, peak) if calibration else peak,
        memory_bytes=profile.memory_bytes if profile else None,
        places=places,
        warnings=tuple(find_warnings(spec, stages, places, profile)),
        time=time,
        why_not=why_not,
    )


def peak_range(stages: tuple[StageMemory, ...], profile: HardwareProfile | None) -> Estimate:
    """Peak of the fullest device: alive, and with what the allocator keeps of pieces that come and go."""
    peak = max(stages, key=lambda stage: stage.total_bytes)
    changing = peak.activations_bytes + peak.logits_bytes + peak.buffers_bytes + peak.gradients_bytes
    kept = changing * ALLOCATOR_SHARE[profile.kind if profile else "cuda"]
    return Estimate(peak.total_bytes, peak.total_bytes, peak.total_bytes + kept)


def resolve_dtype(spec: Spec, profile: HardwareProfile | None) -> str:
    """Resolve precision 'auto' as engine.rank.train.precision does: bf16 where the device is faster in it."""
    if spec.precision.dtype != "auto":
        return spec.precision.dtype
    rates = profile.flops_per_s if profile else {}
    faster_by = 1.2 if profile and profile.kind == "cpu" else 1.0
    return "bf16" if rates.get("bf16", 0) >= faster_by * rates.get("fp32", float("inf")) else "fp32"


def predict_change(
    spec: Spec, other: Spec, profile: HardwareProfile | None, calibration: Calibration | None = None
) -> PlanChange | None:
    """Compare `other` with `spec` on the same device; None where no time can be predicted."""
    before, after = plan(spec, profile, calibration), plan(other, profile, calibration)
    if before.time is None or after.time is None:
        return None
    old, new = before.time, after.time
    phases = {
        name: new.phases[name].point / span.point if span.point > 0 else None
        for name, span in old.phases.items()
    }
    return PlanChange(
        step=new.step_s.point / old.step_s.point,
        phases=phases,
        throughput=new.tokens_per_s.point / old.tokens_per_s.point,
        before=before,
        after=after,
    )
