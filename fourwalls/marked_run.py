"""Marks of steps and phases on a run."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from fourwalls.step_clock import Mark, Row, StepClock
from fourwalls.writer import RowWriter


class StepNumber(int):
    """The number of the next step; called, the mark of a step."""

    _begin: Callable[[], Mark]

    def __call__(self) -> Mark:
        return self._begin()


class MarkedRun:
    """The part of a run that marks steps and phases."""

    source: str
    _step: int
    _writer: RowWriter | None
    _clock: StepClock | None = None
    _last_marked = -1
    _rank = 0

    @property
    def _stream(self) -> str:
        raise NotImplementedError

    @property
    def _owns_run_state(self) -> bool:
        raise NotImplementedError

    @property
    def step(self) -> StepNumber:
        """The step of the next log() without one. Called, it marks a step: `with run.step(): ...` around the work of
        one optimiser step; some microseconds. A step that raises is counted as lost. Never raises."""
        number = StepNumber(self._step)
        number._begin = self._begin_step
        return number

    def phase(self, name: str) -> Mark:
        """Mark a part of a step or of the time between steps: `with run.phase("data"): ...`.

        Names: data, forward, backward, optimiser, communication, other; validation, checkpoint and logging count
        beside the step, wherever they are. Any other name counts as other and is kept. The time of a phase inside
        another one counts once, as the inner one's. On a GPU a phase is the time of the host, not that of the kernels.
        Seconds of the wall clock; some microseconds a mark. Never raises.
        """
        return Mark(self._clock, str(name) or "other")

    def _begin_step(self) -> Mark:
        return Mark(self._clock, "")

    def _start_clock(self) -> None:
        self._last_marked = self._step - 1
        self._clock = StepClock(self._record_steps, self._send_clock)
        self._clock.start()

    def _send_clock(self, clock: dict[str, Any]) -> None:
        """Only the rank whose end ends the run reports the clock."""
        if self._owns_run_state and self._writer:
            self._writer.put(("clock", {"stream": self._stream, **clock}))

    def _record_steps(self, of_run: Row, phases: Row, count: int) -> None:
        """The means of the newest steps, at the step that the script last logged if it numbers its steps."""
        writer = self._writer
        if writer is None:
            return
        step = self._last_marked = max(self._last_marked + count, self._step - 1)
        at_us = time.time_ns() // 1000
        if self._rank == 0:
            writer.put((step, at_us, of_run, "run"))
        if phases:
            writer.put((step, at_us, phases, f"rank{self._rank}"))
