"""Wall clock of a rank, each moment of which belongs to one part."""

from __future__ import annotations

import time

from engine.telemetry.clock import get_loop_s

# A line is due after this share of the elapsed time, so a killed rank leaves less than that without a part.
DUE_SHARE = 0.005
DUE_MIN_S, DUE_MAX_S = 0.2, 5.0
# Less is the drift of two clocks. A suspended machine stops the monotonic clock, but not the time of day.
ASLEEP_FROM_S = 1.0


class WallClock:
    """Seconds of the rank by the parts of engine.telemetry.clock, since the start of its process.

    The time since the previous lap goes to one part, so the parts add up by construction. A lap takes about 0.3 us.
    """

    def __init__(self, started_s: float) -> None:
        """`started_s`: perf_counter() at the start of the process."""
        self._started_s = self._lap_s = self._taken_s = started_s
        self._started_at = time.time() - (time.perf_counter() - started_s)
        self._seconds: dict[str, float] = {}
        self._is_closing = False

    def lap(self, part: str) -> None:
        """Count the time since the previous lap for `part`; after the last step always for `closing`."""
        now = time.perf_counter()
        name = "closing" if self._is_closing else part
        self._seconds[name] = self._seconds.get(name, 0.0) + now - self._lap_s
        self._lap_s = now

    def close(self) -> None:
        """The last step is done: what follows is no longer between two steps."""
        self._is_closing = True

    @property
    def loop_s(self) -> float:
        """Seconds of the training loop after its first step, until the last lap."""
        return get_loop_s(self._seconds)

    @property
    def is_due(self) -> bool:
        """Whether the totals should be recorded again."""
        elapsed_s = self._lap_s - self._started_s
        return self._lap_s - self._taken_s >= min(DUE_MAX_S, max(DUE_MIN_S, DUE_SHARE * elapsed_s))

    def take(self) -> tuple[float, dict[str, float]]:
        """Return the unix time of the last lap and the seconds by part since the start of the process."""
        self._taken_s = self._lap_s
        elapsed_s = self._lap_s - self._started_s
        since_lap_s = time.perf_counter() - self._lap_s
        lap_at = time.time() - since_lap_s
        asleep_s = lap_at - self._started_at - elapsed_s
        seconds = dict(self._seconds)
        if asleep_s >= ASLEEP_FROM_S:
            seconds["asleep"] = asleep_s
        return lap_at, seconds
