"""Learning rate schedules."""

from __future__ import annotations

import math

from engine.spec.spec import Spec

COSINE_FLOOR = 0.1  # share of the peak at the end of cosine, as in GPT-3: arXiv 2005.14165, app. B
DECAY_SHARE = (
    0.2  # of all steps, at the end of wsd: what Hägele et al. found enough, arXiv 2405.18392, sec. 4
)


def learning_rate(spec: Spec, step: int) -> float:
    """Rate of step 0, 1, ...: linear to the peak over the warm-up, then a share of the peak by schedule.

    constant      1
    cosine        half a cosine, down to 0 at the last step
    linear        a line that reaches 0 one step after the last
    wsd           1, then 1 - sqrt(done share) over the last fifth of all steps
    inverse_sqrt  sqrt(warm-up / steps): Vaswani et al., arXiv 1706.03762, eq. 3

    The floor f turns a share s into f + (1 - f) s.
    """
    optimiser, warmup = spec.optimiser, spec.num_warmup_steps
    if step < warmup:
        return optimiser.learning_rate * (step + 1) / warmup
    floor = optimiser.floor
    if floor is None:
        floor = COSINE_FLOOR if optimiser.schedule == "cosine" else 0.0
    share = _share(optimiser.schedule, step, warmup, spec.budget.steps)
    return optimiser.learning_rate * (floor + (1 - floor) * share)


def _share(schedule: str, step: int, warmup: int, steps: int) -> float:
    if schedule == "cosine":
        done_share = min(1.0, (step - warmup) / max(1, steps - 1 - warmup))
        return 0.5 * (1 + math.cos(math.pi * done_share))
    if schedule == "linear":
        return max(0.0, (steps - step) / max(1, steps - warmup))
    if schedule == "wsd":
        decay = max(1, min(steps - warmup, round(DECAY_SHARE * steps)))
        return 1 - math.sqrt(min(1.0, max(0, step - (steps - decay)) / decay))
    if schedule == "inverse_sqrt":
        return math.sqrt(max(1, warmup) / (step + 1))
    return 1.0
