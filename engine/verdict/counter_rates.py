"""Growth of error counters of devices, as rates."""

from __future__ import annotations

from collections.abc import Iterable

from engine.verdict.facts import DeviceFacts, Facts
from engine.verdict.results import Evidence


def sum_increases(values: Iterable[float]) -> float:
    """How much a counter has grown; it starts from 0 again when a driver is loaded or a device reset."""
    total, last = 0.0, None
    for value in values:
        if last is not None:
            total += value - last if value >= last else value
        last = value
    return total


def find_fast_counters(
    facts: Facts, metric: str, limit: float, every_s: float
) -> list[tuple[DeviceFacts, float]]:
    """Devices whose counter grew by more than `limit` in each `every_s`, the fastest first. A shorter run counts as one
    of that length, so that a single error is no rate."""
    rates = [
        (device, device.increases[metric] * every_s / max(every_s, device.read_s))
        for device in facts.devices
        if metric in device.increases
    ]
    return sorted((pair for pair in rates if pair[1] > limit), key=lambda pair: -pair[1])


def get_counter_growth(facts: Facts, metric: str, title: str, threshold: str) -> tuple[Evidence, ...]:
    """The growth on each device, those with the most first."""
    found = [device for device in facts.devices if device.increases.get(metric)]
    found.sort(key=lambda device: -device.increases[metric])
    return tuple(
        Evidence(
            f"{title}, {device.title}", device.increases[metric], "", "measured", threshold,
            f"growth in {device.read_s:,.0f} s",
        )
        for device in found[:8]
    )  # fmt: skip
