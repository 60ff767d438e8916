"""Progress lines in the log of a rank, at most one every two seconds."""

from __future__ import annotations

import logging
import sys
import time

INTERVAL_S = 2.0

log = logging.getLogger("fourwalls.rank")


def configure() -> None:
    """Send log lines to stdout, which is the log of the rank."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    log.handlers = [handler]
    log.propagate = False
    log.setLevel(logging.INFO)


class ProgressLog:
    """Logs the progress of training on rank 0; does nothing on other ranks."""

    def __init__(self, rank: int, num_steps: int) -> None:
        self._is_enabled = rank == 0
        self._num_steps = num_steps
        self._logged_at = 0.0

    def step(self, done: int, metrics: dict[str, float]) -> None:
        """Log a finished step if the last line is old enough, and always the last step."""
        now = time.monotonic()
        if self._is_enabled and (now - self._logged_at >= INTERVAL_S or done == self._num_steps):
            self._logged_at = now
            norm = f"  gradient norm {metrics['grad_norm']:.3g}" if "grad_norm" in metrics else ""
            log.info(
                "step %d/%d  loss %.4f%s  %s tokens/s",
                done, self._num_steps, metrics["loss"], norm, f"{metrics['tokens_per_s']:,.0f}",
            )  # fmt: skip

    def info(self, text: str, *values: object) -> None:
        if self._is_enabled:
            log.info(text, *values)
