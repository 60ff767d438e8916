"""Metrics of attempts from their spools: by source and name, by step or by time."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from engine.telemetry import clock
from engine.telemetry.wire import SpoolLine, decode, number
from engine.verdict.facts import Floats
from engine.verdict.steady import Ints

Points = dict[int, float]  # step -> value; a step that was made again has its newest value


@dataclass
class RecordedClock:
    """The wall clock of one process of rank 0, at its newest record."""

    at: float
    first_step: int
    step: int
    seconds: dict[str, float]


@dataclass
class SpoolSeries:
    """All lines that can be read, of one attempt after the other."""

    by_step: defaultdict[tuple[str, str], Points] = field(default_factory=lambda: defaultdict(dict))
    device: defaultdict[tuple[str, str], list[tuple[float, float]]] = field(
        default_factory=lambda: defaultdict(list)
    )  # time, value
    missing: defaultdict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    step_at: dict[int, float] = field(default_factory=dict)
    clocks: list[RecordedClock] = field(default_factory=list)  # of this and earlier attempts
    notes: list[str] = field(default_factory=list)  # errors that drivers reported, of the newest attempt
    starts: set[int] = field(default_factory=lambda: {1})
    last_step: int = 0
    num_unreadable: int = 0

    def read(self, spool: Path) -> None:
        """Add the lines of one attempt. Its first step is a start: the ranks are new."""
        self.notes, before, newest = [], self.last_step, self.last_step
        first: int | None = None
        for file in sorted(spool.glob("*.jsonl")):
            for line in self._lines(file):
                if line.k == "step" and line.source == "run" and line.step is not None:
                    first = line.step if first is None else min(first, line.step)
                self._add(line)
        if before and first is not None and newest == before:
            self.starts.add(first)

    def _lines(self, file: Path) -> Iterator[SpoolLine]:
        for text in file.read_bytes().splitlines():
            try:
                yield decode(text)
            except ValueError:
                self.num_unreadable += 1

    def _add(self, line: SpoolLine) -> None:
        values = {}
        for name, value in line.metrics.items():
            try:
                values[name] = number(value)
            except ValueError:
                self.num_unreadable += 1
        if line.k == "device":
            for name, value in values.items():
                self.device[line.source, name].append((line.at, value))
            self.missing[line.source] |= {name: reason for name, (_, reason) in line.missing.items()}
        elif line.k == "step" and line.step is not None:
            if line.source == "run":
                if line.step <= self.last_step:
                    self.starts.add(line.step)  # resumed from a checkpoint
                self.last_step, self.step_at[line.step] = line.step, line.at
            for name, value in values.items():
                self.by_step[line.source, name][line.step] = value
        elif line.k == "clock" and line.source == "rank0":
            self._add_clock(line, values)
        elif line.k == "note" and line.level == "error" and line.source.startswith("device:"):
            self.notes.append(line.text)

    def _add_clock(self, line: SpoolLine, values: dict[str, float]) -> None:
        seconds = {name: value for name, value in values.items() if name in clock.BY_NAME}
        if not all(0 <= value < math.inf for value in seconds.values()):
            return
        found = RecordedClock(line.at, line.number or 0, line.step or 0, seconds)
        last = self.clocks[-1] if self.clocks else None
        # A process counts from its start, so a sum that has fallen belongs to another one.
        if (
            last
            and found.first_step == last.first_step
            and sum(seconds.values()) >= sum(last.seconds.values())
        ):
            self.clocks.pop()
        self.clocks.append(found)

    def columns(self, source: str, metric: str) -> tuple[Ints, Floats]:
        points = self.by_step.get((source, metric), {})
        steps = np.array(sorted(points), dtype=np.int64)
        return steps, np.array([points[int(step)] for step in steps], dtype=float)

    def read_values(self, source: str, metric: str) -> list[tuple[float, float]]:
        """Finite readings of a device in the order of their time."""
        found = [pair for pair in self.device.get((source, metric), ()) if np.isfinite(pair[1])]
        return sorted(found)
