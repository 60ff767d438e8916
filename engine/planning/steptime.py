"""Time of one step by the phases that ranks measure, from a device's rates."""

from __future__ import annotations

from engine import arithmetic
from engine.planning.answers import StepTime
from engine.planning.calibration import PHASES, Calibration
from engine.planning.profile import DeviceProfile
from engine.planning.ranges import NOTHING, Range, total
from engine.spec import Spec


def step_time(spec: Spec, dtype: str, profile: DeviceProfile, calibration: Calibration | None) -> StepTime:
    tokens = arithmetic.tokens_per_step(spec)
    flops = arithmetic.flops_per_token(spec) * tokens
    rate = profile.flops_per_s[dtype] * spec.parallel.world_size
    compute = profile.compute_share.under(flops / rate)
    raw = dict.fromkeys(PHASES, NOTHING) | {
        "forward_s": compute.scaled(1 / 3),
        "backward_s": compute.scaled(2 / 3),
        "other_s": Range.exactly(profile.step_s),
    }
    phases = {
        name: calibration.applied(dtype, name, span) if calibration else span for name, span in raw.items()
    }
    step_s = total(phases.values())
    return StepTime(
        device=profile.name,
        standing=profile.standing,
        phases=phases,
        step_s=step_s,
        tokens_per_s=step_s.under(tokens),
        mfu_share=step_s.under(flops / rate) if profile.kind == "cuda" else None,
        hfu_share=None,
        energy_j=None,
        money=None,
    )
