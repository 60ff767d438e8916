"""What a rank prints for people who read its log: a line now and then, never one a step."""

from __future__ import annotations

import logging
import sys
import time

EVERY_S = 2.0

log = logging.getLogger("fourwalls.rank")


def begin() -> None:
    """Send the lines to the process's own output, which is the rank's log."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    log.handlers = [handler]
    log.propagate = False
    log.setLevel(logging.INFO)


class Narrator:
    """Rank 0 tells how training goes; the others only say who they are."""

    def __init__(self, rank: int, num_steps: int) -> None:
        self._speaks = rank == 0
        self._num_steps = num_steps
        self._told_at = 0.0

    def step(self, done: int, metrics: dict[str, float]) -> None:
        now = time.monotonic()
        if self._speaks and (now - self._told_at >= EVERY_S or done == self._num_steps):
            self._told_at = now
            norm = f"  gradient norm {metrics['grad_norm']:.3g}" if "grad_norm" in metrics else ""
            log.info(
                "step %d/%d  loss %.4f%s  %s tokens/s",
                done, self._num_steps, metrics["loss"], norm, f"{metrics['tokens_per_s']:,.0f}",
            )  # fmt: skip

    def say(self, text: str, *values: object) -> None:
        if self._speaks:
            log.info(text, *values)
