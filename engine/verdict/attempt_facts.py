"""Facts of an attempt, read from its folder and those of the attempts before it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from engine.directory import AttemptDirectory, Placement, RankSeat
from engine.planner import HardwareProfile
from engine.verdict.attempt_history import (
    build_clock,
    find_attempts,
    find_faults,
    ran_out_of_memory,
)
from engine.verdict.counter_rates import sum_increases
from engine.verdict.facts import DeviceFacts, Facts, Floats
from engine.verdict.readings import RESIDENT
from engine.verdict.rules import COUNTER_METRICS, DEVICE_METRICS, PEAK_METRICS
from engine.verdict.spool_series import SpoolSeries
from engine.verdict.steady import WINDOW_STEPS, Ints, RecordedSteps, build_facts
from engine.verdict.throttling import CLOCK
from engine.verdict.unlimited import find_unlimited_gain

FABRIC = "A fabric test trains no model: its result is its figures of the links."
NO_STEP = "No step has been made yet."
NO_STEP_MADE = "It ended before its first step."


class NoAttempt(ValueError):
    """The folder is not that of an attempt, or cannot be read; the message gives the reason."""


def read_attempt_facts(directory: AttemptDirectory, profile: HardwareProfile | None = None) -> Facts:
    """Facts of the newest steps of an attempt. `profile`: of its devices, instead of that in the folder. Raises
    NoAttempt."""
    try:
        spec, placement = directory.read_spec(), directory.read_placement()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise NoAttempt(f"{directory.path} is not the folder of an attempt: {reason}.") from None
    values = spec.model_dump()
    if spec.kind != "training":
        return Facts(spec=values, nothing=FABRIC)
    attempts, found = find_attempts(directory), SpoolSeries()
    for attempt in attempts:
        found.read(attempt.directory.spool)
    if not found.last_step:
        state = attempts[-1].state
        return Facts(spec=values, nothing=NO_STEP_MADE if state and state.is_terminal else NO_STEP)
    failures = [found.by_step[key] for key in found.by_step if key[1] == "alloc_failures"]
    facts = _build_steps(values, placement, found).replace(
        mfu_share=_mean(found, "mfu_share"),
        ofu_share=_mean(found, "ofu_share"),
        clock=build_clock(found.clocks, attempts, placement.queued_s),
        profile=profile or _read_profile(directory),
        faults=find_faults(attempts[-1], found.notes, placement.seats),
        ran_out_of_memory=ran_out_of_memory(attempts)
        or any(max(points.values(), default=0) > 0 for points in failures),
    )
    return facts.replace(unlimited_gain_share=find_unlimited_gain(facts))


def _build_steps(values: Mapping[str, object], placement: Placement, found: SpoolSeries) -> Facts:
    first = max(1, found.last_step - WINDOW_STEPS + 1)
    series = {
        (int(source.removeprefix("rank")), metric): _cut(found.columns(source, metric), first)
        for source, metric in found.by_step
        if source.startswith("rank")
    }
    step_s = _cut(found.columns("run", "step_s"), first)
    return build_facts(
        RecordedSteps(
            spec=values, first_step=first, last_step=found.last_step, series=series, step_s=step_s,
            seats={seat.rank: (seat.stage, seat.data_rank, seat.device) for seat in placement.seats},
            world_size=placement.world_size, starts=found.starts, devices=_devices(found, placement, first),
        )
    )  # fmt: skip


def _read_profile(directory: AttemptDirectory) -> HardwareProfile | None:
    values = directory.read_profile()
    try:
        return HardwareProfile.from_json(values) if values else None
    except ValueError:
        return None  # of another version


def _cut(columns: tuple[Ints, Floats], first: int) -> tuple[Ints, Floats]:
    steps, values = columns
    return steps[steps >= first], values[steps >= first]


def _mean(found: SpoolSeries, metric: str) -> float | None:
    values = found.columns("run", metric)[1]
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else None


def _devices(found: SpoolSeries, placement: Placement, first: int) -> tuple[DeviceFacts, ...]:
    """Means of the readings during the window, and maxima and growth of all readings."""
    times = [at for step, at in found.step_at.items() if step >= first]
    start, end = min(times), max(times)
    return tuple(_build_device(found, seat, placement, first, (start, end)) for seat in placement.seats)


def _build_device(
    found: SpoolSeries, seat: RankSeat, placement: Placement, first: int, window: tuple[float, float]
) -> DeviceFacts:
    source = f"device:{seat.device}"
    whole = {
        metric: readings
        for metric in (*PEAK_METRICS, *COUNTER_METRICS)
        if (readings := found.read_values(source, metric))
    }
    peaks = {name: max(value for _, value in pairs) for name, pairs in whole.items() if name in PEAK_METRICS}
    return DeviceFacts(
        device=seat.device, kind=seat.device_kind, name=seat.device_name,
        means=_means(found, source, *window),
        peak_bytes=peaks.get(RESIDENT), capacity_bytes=seat.memory_bytes,
        alloc_retries=_growth(found.by_step.get((f"rank{seat.rank}", "alloc_retries"), {}), first),
        clock_reference_hz=peaks.get(CLOCK) if seat.device_kind == "cuda" else None,
        missing=found.missing.get(source, {}), host=placement.node, peaks=peaks,
        increases={name: sum_increases(value for _, value in whole[name]) for name in COUNTER_METRICS if name in whole},
        read_s=max((pairs[-1][0] - pairs[0][0] for pairs in whole.values()), default=0.0),
    )  # fmt: skip


def _means(found: SpoolSeries, source: str, start: float, end: float) -> dict[str, float]:
    means = {}
    for metric in DEVICE_METRICS:
        inside = [value for at, value in found.read_values(source, metric) if start <= at <= end]
        if inside:
            means[metric] = float(np.mean(inside))
    return means


def _growth(points: Mapping[int, float], first: int) -> float | None:
    values = [value for step, value in points.items() if step >= first]
    return max(values) - min(values) if values else None
