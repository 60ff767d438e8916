"""Facts of an attempt, read from its folder."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from engine.directory import AttemptDirectory, Placement
from engine.telemetry import clock
from engine.telemetry.wire import SpoolLine, decode, number
from engine.verdict.facts import ClockFacts, DeviceFacts, Facts, Floats
from engine.verdict.rules import DEVICE_METRICS
from engine.verdict.steady import WINDOW_STEPS, Ints, RecordedSteps, build_facts

FABRIC = "A fabric test trains no model: its result is its figures of the links."
NO_STEP = "No step has been made yet."
NO_STEP_MADE = "It ended before its first step."
PEAK, CLOCK = "memory_used_bytes", "sm_clock_hz"

Points = dict[int, float]  # step -> value; a step that was repeated has its newest value


class NoAttempt(ValueError):
    """The folder is not that of an attempt, or cannot be read; the message gives the reason."""


class SpoolSeries:
    """Metrics of an attempt by source and name, from all lines that can be read."""

    def __init__(self, spool: Path) -> None:
        self.by_step: defaultdict[tuple[str, str], Points] = defaultdict(dict)
        self.device: defaultdict[tuple[str, str], list[tuple[float, float]]] = defaultdict(
            list
        )  # time, value
        self.missing: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self.step_at: dict[int, float] = {}
        self.clock: ClockFacts | None = None  # None: not recorded
        self.starts, self.last_step, self.num_unreadable = {1}, 0, 0
        for file in sorted(spool.glob("*.jsonl")):
            for line in self._lines(file):
                self._add(line)

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
            seconds = {name: value for name, value in values.items() if name in clock.BY_NAME}
            if all(0 <= value < math.inf for value in seconds.values()):
                self.clock = ClockFacts.from_rank(seconds, line.number or 0, line.step or 0)

    def columns(self, source: str, metric: str) -> tuple[Ints, Floats]:
        points = self.by_step.get((source, metric), {})
        steps = np.array(sorted(points), dtype=np.int64)
        return steps, np.array([points[int(step)] for step in steps], dtype=float)


def read_attempt_facts(directory: AttemptDirectory) -> Facts:
    """Facts of the newest steps of an attempt. Raises NoAttempt."""
    try:
        spec, placement = directory.read_spec(), directory.read_placement()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise NoAttempt(f"{directory.path} is not the folder of an attempt: {reason}.") from None
    values = spec.model_dump()
    if spec.kind != "training":
        return Facts(spec=values, nothing=FABRIC)
    found = SpoolSeries(directory.spool)
    if not found.last_step:
        state = directory.read_state()
        return Facts(spec=values, nothing=NO_STEP_MADE if state and state.is_terminal else NO_STEP)
    first = max(1, found.last_step - WINDOW_STEPS + 1)
    series = {
        (int(source.removeprefix("rank")), metric): _cut(found.columns(source, metric), first)
        for source, metric in found.by_step
        if source.startswith("rank")
    }
    step_s = _cut(found.columns("run", "step_s"), first)
    facts = build_facts(
        RecordedSteps(
            spec=values, first_step=first, last_step=found.last_step, series=series, step_s=step_s,
            seats={seat.rank: (seat.stage, seat.data_rank, seat.device) for seat in placement.seats},
            world_size=placement.world_size, starts=found.starts, devices=_devices(found, placement, first),
        )
    )  # fmt: skip
    failures = [found.by_step[key] for key in found.by_step if key[1] == "alloc_failures"]
    return facts.replace(
        mfu_share=_mean(found, "mfu_share"),
        ofu_share=_mean(found, "ofu_share"),
        clock=found.clock,
        ran_out_of_memory=any(max(points.values(), default=0) > 0 for points in failures),
    )


def _cut(columns: tuple[Ints, Floats], first: int) -> tuple[Ints, Floats]:
    steps, values = columns
    return steps[steps >= first], values[steps >= first]


def _mean(found: SpoolSeries, metric: str) -> float | None:
    values = found.columns("run", metric)[1]
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else None


def _devices(found: SpoolSeries, placement: Placement, first: int) -> tuple[DeviceFacts, ...]:
    """Means of the readings during the window, and maxima of all readings."""
    times = [at for step, at in found.step_at.items() if step >= first]
    start, end = min(times), max(times)
    return tuple(
        DeviceFacts(
            device=seat.device, kind=seat.device_kind,
            means=_means(found, f"device:{seat.device}", start, end),
            peak_bytes=_maximum(found, f"device:{seat.device}", PEAK),
            capacity_bytes=_maximum(found, f"device:{seat.device}", "memory_total_bytes"),
            alloc_retries=_growth(found.by_step.get((f"rank{seat.rank}", "alloc_retries"), {}), first),
            clock_reference_hz=_maximum(found, f"device:{seat.device}", CLOCK) if seat.device_kind == "cuda" else None,
            missing=found.missing.get(f"device:{seat.device}", {}),
        )
        for seat in placement.seats
    )  # fmt: skip


def _means(found: SpoolSeries, source: str, start: float, end: float) -> dict[str, float]:
    means = {}
    for metric in DEVICE_METRICS:
        inside = [value for at, value in found.device.get((source, metric), ()) if start <= at <= end]
        finite = [value for value in inside if np.isfinite(value)]
        if finite:
            means[metric] = float(np.mean(finite))
    return means


def _maximum(found: SpoolSeries, source: str, metric: str) -> float | None:
    values = [value for _, value in found.device.get((source, metric), ()) if np.isfinite(value)]
    return max(values, default=None)


def _growth(points: Mapping[int, float], first: int) -> float | None:
    values = [value for step, value in points.items() if step >= first]
    return max(values) - min(values) if values else None
