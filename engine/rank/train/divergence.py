"""Detection of broken steps, and early stopping."""

from __future__ import annotations

import math
from collections import deque

from engine.checkpoints.origin import ResumeOrigin
from engine.spec.spec import Spec

WINDOW_LOSSES = 50  # in the running mean
MIN_LOSSES = 10  # in the running mean before a loss can be a spike
CONSECUTIVE_LIMIT = 10  # consecutive broken steps that end the run under any policy
ADVICE = "A lower learning rate, a longer warm-up or gradient clipping may help."
# Steps after a resume in which something else is a likelier cause than the learning rate as such.
RESUMED_STEPS = 3  # the restored state
CHANGED_STEPS = 50  # a changed spec


def advise(done: int, first_step: int, origin: ResumeOrigin | None) -> str:
    """Return what may help after a divergence at step `done`. `origin` is the checkpoint of `first_step`, if any."""
    number = done - first_step
    if origin is None or number > (CHANGED_STEPS if origin.changes else RESUMED_STEPS):
        return ADVICE
    text = f"This is step {number} after the resume from {origin.path.name}"
    if origin.changes:
        return (
            f"{text}, which changed {'; '.join(origin.changes)}. Resume without this change, or from an earlier "
            f"checkpoint. {ADVICE}"
        )
    checked = "its files are as they were saved" if origin.has_checksums else "its files have no checksums"
    return (
        f"{text}, so the restored state is a likelier cause than the learning rate ({checked}). Resume from an earlier "
        "checkpoint."
    )


class DivergenceGuard:
    """Judges the global loss of each step, so that every rank reaches the same result without communication."""

    def __init__(self, spec: Spec) -> None:
        self.policy, self._factor, self._patience = (
            spec.guard.on_broken_step,
            spec.guard.spike_factor,
            spec.guard.patience,
        )
        self.num_broken = 0
        self._in_a_row = 0
        self._recent: deque[float] = deque(maxlen=WINDOW_LOSSES)
        self._best = math.inf
        self._since_best = 0

    def detect_divergence(self, loss: float, has_broken_gradients: bool = False) -> str:
        """What is wrong with a step of this loss, or an empty text. Has no side effects."""
        if has_broken_gradients:
            return "The gradient norm is not finite"
        if not math.isfinite(loss):
            return f"The loss is {loss}"
        mean = sum(self._recent) / len(self._recent) if self._recent else math.inf
        if self._factor and len(self._recent) >= MIN_LOSSES and loss > self._factor * mean:
            return f"The loss {loss:.4g} is {loss / mean:.3g} times its running mean"
        return ""

    def record(self, loss: float, wrong: str) -> None:
        """Count the step. Called once per step."""
        if wrong:
            self.num_broken += 1
            self._in_a_row += 1
        else:
            self._in_a_row = 0
            self._recent.append(loss)

    @property
    def is_beyond_recovery(self) -> bool:
        """Whether the policy has failed: too many consecutive steps are broken."""
        return self._in_a_row >= CONSECUTIVE_LIMIT

    def is_out_of_patience(self, validation_loss: float) -> bool:
        """Whether `patience` consecutive validations were not better than the best. A resume resets the count."""
        self._since_best = 0 if validation_loss < self._best else self._since_best + 1
        self._best = min(self._best, validation_loss)
        return 0 < self._patience <= self._since_best

    @property
    def best(self) -> float:
        return self._best
