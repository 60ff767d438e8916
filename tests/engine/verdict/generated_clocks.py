"""Wall clocks of generated cases, and what a change really saves of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.verdict.facts import ClockFacts

Rng = np.random.Generator
EVERY = {
    "validation": "validate_every",
    "outputs": "validate_every",
    "checkpoint": "checkpoint_every",
    "lost_steps": "checkpoint_every",
}
USUAL = ("validation", "checkpoint", "recording", "between_steps")
MOST_USUAL = 0.015  # of the steps, for each part that is no cause
START_S = {"launch": 1.0, "imports": 4.0, "data": 5.0, "build": 3.0, "first_step": 1.0}  # at most


@dataclass(frozen=True)
class DrawnClock:
    """`part`: the one that is a cause, or ''. `every`: steps between two validations or checkpoints. `lost`: steps that
    each interruption lost."""

    facts: ClockFacts
    part: str
    every: int
    lost: tuple[int, ...] = ()

    @property
    def budget(self) -> dict[str, int]:
        return {EVERY[self.part]: self.every, "steps": self.facts.num_steps + 1} if self.part in EVERY else {}

    def save(self, changes: dict[str, Any], old_batch: int) -> float:
        """Share of the part's base that is saved: counted events, not a ratio of two fields."""
        clock = self.facts
        base = clock.held_s if self.part in ("data", "lost_steps") else clock.loop_s
        seconds = clock.sum(self.part)
        if "batch.global_batch_size" in changes:  # half the steps for the same tokens
            return seconds * (1 - old_batch / changes["batch.global_batch_size"]) / base
        if not changes:
            return seconds / base
        new = changes[f"budget.{EVERY[self.part]}"]
        if self.part == "lost_steps":
            return seconds * (1 - sum(n % new for n in self.lost) / sum(self.lost)) / base
        events, left = clock.num_steps // self.every, clock.num_steps // new
        return seconds * (1 - left / events) / base


def draw_clock(part: str, step_s: float, rng: Rng) -> DrawnClock:
    """A clock whose parts are usual, but for `part`."""
    num_steps, every = int(rng.integers(200, 3000)), int(rng.choice([1, 2, 5, 10]))
    if part == "lost_steps":
        every = int(rng.integers(40, 200))
    if part == "data":  # as many steps as take no longer than four starts
        num_steps = max(20, int(rng.uniform(0.3, 4.0) * 60 / step_s))
    steps_s = num_steps * step_s
    seconds = {name: steps_s * float(rng.uniform(0, MOST_USUAL)) for name in USUAL}
    seconds |= {name: most * float(rng.uniform(0.1, 1.0)) for name, most in START_S.items()}
    lost: tuple[int, ...] = ()
    if part == "data":
        seconds["data"] = 60 * float(rng.uniform(0.8, 1.2))
    elif part == "lost_steps":
        lost = tuple(int(rng.integers(every // 2, every)) for _ in range(max(1, num_steps // (3 * every))))
        seconds["lost_steps"] = sum(lost) * step_s
        steps_s -= seconds["lost_steps"]
        seconds |= {name: seconds[name] / 10 for name in START_S}
    elif part:
        share = float(rng.uniform(0.2, 0.85))
        seconds[part] = steps_s * share / (1 - share)
    if part in EVERY:
        num_steps = max(num_steps, 2 * every)
    facts = ClockFacts(seconds | {"step": steps_s}, num_steps, sum(lost), 1 + len(lost))
    return DrawnClock(facts, part, every, lost)
