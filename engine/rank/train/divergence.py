"""When a step is broken, and what then: stop, leave it out, or go back to the last checkpoint."""

from __future__ import annotations

import math
from collections import deque

from engine.spec.spec import Spec

WINDOW_LOSSES, MIN_LOSSES = (
    50,
    10,
)  # losses in the running mean, and how many there must be before one can be a spike
CONSECUTIVE_LIMIT = 10  # broken steps after one another that end the run under any policy
ADVICE = "A lower learning rate, a longer warm-up or gradient clipping may help."


class DivergenceGuard:
    """Judges the agreed loss of each step, so that every rank comes to the same answer by itself."""

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
        """Of a step with this loss; empty: nothing. Changes nothing, so it may be asked before the update and after."""
        if has_broken_gradients:
            return "The gradient norm is not finite"
        if not math.isfinite(loss):
            return f"The loss is {loss}"
        mean = sum(self._recent) / len(self._recent) if self._recent else math.inf
        if self._factor and len(self._recent) >= MIN_LOSSES and loss > self._factor * mean:
            return f"The loss {loss:.4g} is {loss / mean:.3g} times its running mean"
        return ""

    def record(self, loss: float, wrong: str) -> None:
        """Count a step, once a step."""
        if wrong:
            self.num_broken += 1
            self._in_a_row += 1
        else:
            self._in_a_row = 0
            self._recent.append(loss)

    @property
    def is_beyond_recovery(self) -> bool:
        """Whether what is done about broken steps does not help."""
        return self._in_a_row >= CONSECUTIVE_LIMIT

    def is_out_of_patience(self, validation_loss: float) -> bool:
        """Whether so many validations in a row were no better than the best. Counted anew after a resume."""
        self._since_best = 0 if validation_loss < self._best else self._since_best + 1
        self._best = min(self._best, validation_loss)
        return 0 < self._patience <= self._since_best

    @property
    def best(self) -> float:
        return self._best
