"""Clock of a training script: every second belongs to one part.

The script marks its steps and phases. A mark costs some microseconds. One thread drives the clock: the one that opens
steps. Marks of other threads overlap with its time and are not counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import get_ident
from types import TracebackType
from typing import Any

# Phases of a step -> the metric of its seconds
STEP_METRICS = {
    "data": "data_wait_s", "forward": "forward_s", "backward": "backward_s", "communication": "communication_s",
    "optimiser": "optimiser_s", "other": "other_s",
}  # fmt: skip
# Phases beside the steps, wherever they are marked -> the part of the clock
BETWEEN_PARTS = {"validation": "validation", "checkpoint": "checkpoint", "logging": "recording"}
SPELLINGS = {"optimizer": "optimiser"}
MAX_NAMES = 32  # phases with names of their own; further ones count as one
ROW_EVERY_S = 0.005  # shorter steps are recorded as the mean of several, so that the cost stays bounded
SEND_EVERY_S = 5.0
ASLEEP_S = 1.0  # smaller differences of the two clocks are corrections of the time

Row = dict[str, float]


class StepClock:
    """`record` gets the means of the newest steps, by metric, and their number (steps); `send` gets the whole clock."""

    def __init__(
        self, record: Callable[[Row, Row, int], None], send: Callable[[dict[str, Any]], None]
    ) -> None:
        self._record, self._send = record, send
        self.began_at = time.time()
        self._began_s = self._at_s = self._sent_s = self._recorded_s = time.perf_counter()
        self._owner = 0  # thread
        self._open: list[_Entry] = []
        self._step: Row | None = None  # seconds of the open step by phase; '' is unmarked
        self._carried: Row = {}  # phases of a step, marked before it begins
        self._named: Row = {}  # seconds of phases with names of the script's own
        self._new_named: Row = {}
        self._trailing_s = 0.0  # since the newest step, in no part
        self._parts: Row = {}
        self._sum: Row = {}  # of the steps that are not recorded yet
        self._num_summed = 0
        self._num_begun = self.num_steps = self.num_failed = 0
        self._is_closed = False

    def enter(self, name: str) -> _Entry | None:
        """Begin a phase; with '' a step. None if the mark does not count."""
        if self._is_closed or (get_ident() != self._owner and not self._take_over(is_step=not name)):
            return None
        around = self._open[-1].around if self._open else ""
        if not name and (around or self._step is not None):
            return None  # a step within a step is a part of it, and the loop of a validation makes no steps
        self._turn()
        name = SPELLINGS.get(name, name)
        entry = _Entry(around or name, around)
        if name in BETWEEN_PARTS:
            entry.name = entry.around = name
        self._open.append(entry)
        if not name:
            self._begin_step()
        return entry

    def leave(self, entry: _Entry, *, outcome: str = "") -> None:
        """End a mark, and those that were begun inside it and not ended. `outcome`: failed or empty, of a step."""
        if self._owner != get_ident() or entry not in self._open:
            return
        self._turn()
        while True:
            ended = self._open.pop()
            if not ended.name:
                self._end_step(outcome if ended is entry else "")
            if ended is entry:
                break
        if self._step is None and self._at_s - self._sent_s >= SEND_EVERY_S:
            self._send_clock(is_final=False)

    def close(self) -> None:
        """End all marks and send the clock for the last time."""
        if self._is_closed:
            return
        self._is_closed = True
        self._turn()
        if self._step is not None:
            self._end_step("failed")
        self._open.clear()
        self._record_steps()
        self._send_clock(is_final=True)

    def start(self) -> None:
        """Send the clock for the first time."""
        self._send_clock(is_final=False)

    def get_parts(self, *, is_final: bool) -> Row:
        """Seconds by part; they add up to the time since the start, but for the time asleep."""
        found = dict(self._parts)
        if self._num_begun:
            rest = self._trailing_s + sum(self._carried.values()) + sum((self._step or {}).values())
            self._add(found, "closing" if is_final else "between_steps", rest)
        else:  # phases without steps
            self._add(found, "unmarked", self._trailing_s)
            for metric, seconds in self._carried.items():
                self._add(found, "data" if metric == "data_wait_s" else "step", seconds)
        return {part: seconds for part, seconds in found.items() if seconds > 0}

    def _take_over(self, *, is_step: bool) -> bool:
        """Make the calling thread the one that drives the clock, if none does, or if it opens a step and no other is
        open."""
        if self._owner and (self._step is not None or not is_step):
            return False
        if self._owner:
            self._turn()
            self._open.clear()
        self._owner = get_ident()
        return True

    def _turn(self) -> None:
        """Add the time since the last change to what is open."""
        now_s = time.perf_counter()
        seconds, self._at_s = now_s - self._at_s, now_s
        name = self._open[-1].name if self._open else None
        if name is None or (not name and self._step is None):
            self._trailing_s += seconds
        elif not name:
            self._add(self._step, "", seconds)
        elif name in BETWEEN_PARTS:
            self._add(self._parts, BETWEEN_PARTS[name], seconds)
        else:
            self._add_phase(name, seconds)

    def _add_phase(self, name: str, seconds: float) -> None:
        metric = STEP_METRICS.get(name, "other_s")
        if name not in STEP_METRICS and (name in self._named or len(self._named) < MAX_NAMES):
            self._add(self._named, name, seconds)
            self._add(self._new_named, name, seconds)
        if self._step is not None:
            self._add(self._step, metric, seconds)
        elif metric == "other_s":
            self._trailing_s += seconds
        else:
            self._add(self._carried, metric, seconds)

    def _begin_step(self) -> None:
        carried, self._carried = self._carried, {}
        if not self._num_begun:  # what came before the first step prepared it
            data_s = carried.pop("data_wait_s", 0.0)
            self._add(self._parts, "data", data_s)
            self._add(self._parts, "build", self._trailing_s + sum(carried.values()))
            carried = {}
        else:
            self._add(self._parts, "between_steps", self._trailing_s)
        self._trailing_s = 0.0
        self._num_begun += 1
        self._step = carried

    def _end_step(self, outcome: str) -> None:
        step, self._step = self._step or {}, None
        seconds = sum(step.values())
        if outcome == "empty":  # the data ended
            self._trailing_s += seconds
            self._num_begun -= 1
            return
        if outcome == "failed":
            self.num_failed += 1
            self._add(self._parts, "lost_steps", seconds)
            return
        self.num_steps += 1
        self._add(self._parts, "first_step" if self.num_steps == 1 else "step", seconds)
        for metric, phase_s in step.items():
            self._add(self._sum, metric, phase_s)
        self._num_summed += 1
        if self._at_s - self._recorded_s >= ROW_EVERY_S:
            self._record_steps()

    @staticmethod
    def _add(row: Row | None, name: str, seconds: float) -> None:
        if row is not None:
            row[name] = row.get(name, 0.0) + seconds

    def _record_steps(self) -> None:
        count, self._num_summed = self._num_summed, 0
        phases, self._sum = self._sum, {}
        named, self._new_named = self._new_named, {}
        self._recorded_s = self._at_s
        if count:
            of_run = {f"phase/{name}_s": seconds / count for name, seconds in named.items()}
            of_run["step_s"] = sum(phases.values()) / count
            phases.pop("", None)
            self._record(of_run, {name: seconds / count for name, seconds in phases.items()}, count)

    def _send_clock(self, *, is_final: bool) -> None:
        self._turn()
        self._sent_s = self._at_s
        parts = self.get_parts(is_final=is_final)
        elapsed_s = self._at_s - self._began_s
        asleep_s = time.time() - self.began_at - (time.perf_counter() - self._began_s)
        if asleep_s > ASLEEP_S:
            parts["asleep"] = asleep_s
            elapsed_s += asleep_s
        self._send(
            {
                "began_at": self.began_at,
                "at": self.began_at + elapsed_s,
                "seconds": parts,
                "named": dict(self._named),
                "steps": self.num_steps,
                "failed_steps": self.num_failed,
                "is_final": is_final,
            }
        )


class _Entry:
    """One open mark; '' is a step. `around`: the phase beside the steps that it is in."""

    __slots__ = ("around", "name")

    def __init__(self, name: str, around: str) -> None:
        self.name, self.around = name, around


class Mark:
    """Context manager of one mark. Entering it again while it is open changes nothing."""

    __slots__ = ("_clock", "_depth", "_entry", "_name")

    def __init__(self, clock: StepClock | None, name: str) -> None:
        self._clock, self._name = clock, name
        self._entry: _Entry | None = None
        self._depth = 0

    def __enter__(self) -> Mark:
        self._depth += 1
        if self._depth == 1 and self._clock is not None:
            self._entry = self._clock.enter(self._name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._depth -= 1
        entry = self._entry
        if self._depth > 0 or entry is None or self._clock is None:
            return
        self._entry = None
        outcome = "" if kind is None else "empty" if issubclass(kind, StopIteration) else "failed"
        self._clock.leave(entry, outcome=outcome)

    def __del__(self) -> None:
        """A mark that is given up without being ended, as by a rebound variable, ends here."""
        if self._entry is not None and self._clock is not None:
            self._clock.leave(self._entry)
