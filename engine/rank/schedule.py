"""The learning rate as a pure function of the step."""

from __future__ import annotations

import math

from engine.spec import Spec


def learning_rate(spec: Spec, step: int) -> float:
    """Rate of step 0, 1, ...: linear to the peak over the warm-up, then constant, or a half cosine down to a tenth
    of the peak at the last step (the floor GPT-3 used, arXiv 2005.14165, app. B)."""
    optimiser, warmup = spec.optimiser, spec.optimiser.warmup_steps
    if step < warmup:
        return optimiser.learning_rate * (step + 1) / warmup
    if optimiser.schedule == "constant":
        return optimiser.learning_rate
    done_share = min(1.0, (step - warmup) / max(1, spec.budget.steps - 1 - warmup))
    return optimiser.learning_rate * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done_share)))
