"""Devices and their readings: values, or status and reason for each missing value."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec

from fourwalls.system.device_metrics import DEVICE_METRICS, Status
from fourwalls.system.faults import Fault

FIRST = "a rate needs two readings, and this is the first"
BACKWARDS = "the counter went backwards: the driver was reset, or the counter wrapped"


class DeviceInfo(msgspec.Struct, frozen=True):
    """One GPU, or one share of the machine's cores. `id` stays the same after a restart."""

    id: str
    kind: Literal["cpu", "cuda"]
    index: int
    name: str
    memory_bytes: int | None
    cores: float | None  # CPU devices: cores allotted
    detail: dict[str, Any] = {}


class DeviceReading(msgspec.Struct):
    """One device at one time. Every device metric is in exactly one of `metrics`, `slow` and `missing`, except
    energy_j, which the sampler computes per attempt."""

    metrics: dict[str, float] = {}
    missing: dict[str, tuple[str, str]] = {}
    energy_counter_j: float | None = (
        None  # since the driver was loaded; energy_j is its difference over an attempt
    )
    faults: list[Fault] = []  # the newest that the driver has reported
    faults_missing: dict[
        str, tuple[Status, str]
    ] = {}  # which kinds of faults it cannot be asked for, and why

    slow: dict[str, float] = {}  # newest values of the metrics that are read every ten seconds
    has_new_slow: bool = False  # whether they were read at this tick
    facts: dict[str, str | int] = {}  # shown on pages: links, processes
    sources: dict[str, str] = {}  # metric -> file or call it is read from

    def set_missing(self, status: Status, reason: str, *names: str) -> None:
        for name in names:
            self.missing[name] = (status, reason)

    def fill_unsupported(self, reason: str) -> DeviceReading:
        """Mark every device metric without a reading as unsupported."""
        known = (
            self.metrics.keys()
            | self.missing.keys()
            | self.slow.keys()
            | ({"energy_j"} if self.energy_counter_j is not None else set())
        )
        self.set_missing("unsupported", reason, *(name for name in DEVICE_METRICS if name not in known))
        return self


class DeviceSource(Protocol):
    """Reader of one kind of device. `pids` holds the rank processes by occupied device."""

    def devices(self) -> list[DeviceInfo]: ...

    def read(self, now_s: float, pids: Mapping[str, Sequence[int]]) -> dict[str, DeviceReading]: ...

    def close(self) -> None: ...


class NoDevices:
    """A source without devices."""

    def devices(self) -> list[DeviceInfo]:
        return []

    def read(self, now_s: float, pids: Mapping[str, Sequence[int]]) -> dict[str, DeviceReading]:
        return {}

    def close(self) -> None:
        return None


class Rates:
    """Rates from counters that only grow: differences of consecutive polls, so that no time is missed."""

    def __init__(self) -> None:
        self._last: dict[Hashable, tuple[float, float]] = {}

    def put(
        self,
        reading: DeviceReading,
        metric: str,
        key: Hashable,
        counter: float,
        now_s: float,
        scale: float = 1.0,
    ) -> None:
        """Set `metric` to the growth of the counter per second times `scale`, or the reason why it is missing."""
        last, at_s = self._last.get(key, (counter, now_s))
        self._last[key] = (counter, now_s)
        if now_s <= at_s:
            reading.set_missing("absent", FIRST, metric)
        elif counter < last:
            reading.set_missing("error", BACKWARDS, metric)
        else:
            reading.metrics[metric] = (counter - last) / (now_s - at_s) * scale
