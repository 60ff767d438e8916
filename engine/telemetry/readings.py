"""What a source of readings gives: devices, values, and for each value it lacks the standing and the reason."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec

from engine.telemetry.faults import Fault
from engine.telemetry.metrics import METRICS, Status

DEVICE_METRICS = tuple(metric.name for metric in METRICS if metric.scope == "device")

FIRST = "a rate needs two readings, and this was the first"
BACKWARDS = "the counter went backwards: the driver was reset, or the counter wrapped"


class DeviceInfo(msgspec.Struct, frozen=True):
    """One GPU, or one share of a machine's cores. `id` is the same after every restart."""

    id: str
    kind: Literal["cpu", "cuda"]
    index: int
    name: str
    memory_bytes: int | None
    cores: float | None  # CPU devices: cores allotted
    detail: dict[str, Any] = {}


class DeviceReading(msgspec.Struct):
    """One device at one moment: every device metric stands in exactly one of the two tables, but for energy_j, which
    the sampler settles for each attempt, and for the slow ones, which stand in `slow` or in `missing`."""

    metrics: dict[str, float] = {}
    missing: dict[str, tuple[str, str]] = {}
    energy_counter_j: float | None = (
        None  # since the driver was loaded; energy_j is its difference over an attempt
    )
    faults: list[Fault] = []  # the newest that its driver has reported
    faults_missing: dict[
        str, tuple[Status, str]
    ] = {}  # which kinds of faults it cannot be asked for, and why

    slow: dict[str, float] = {}  # newest values of what is read every ten seconds only
    has_new_slow: bool = False  # they were read at this very tick
    facts: dict[str, str | int] = {}  # for people: links, processes
    sources: dict[str, str] = {}  # metric -> where its value comes from

    def set_missing(self, status: Status, reason: str, *names: str) -> None:
        for name in names:
            self.missing[name] = (status, reason)

    def fill_unsupported(self, reason: str) -> DeviceReading:
        """Whatever a kind of device has no reading for is unsupported by it."""
        known = (
            self.metrics.keys()
            | self.missing.keys()
            | self.slow.keys()
            | ({"energy_j"} if self.energy_counter_j is not None else set())
        )
        self.set_missing("unsupported", reason, *(name for name in DEVICE_METRICS if name not in known))
        return self


class DeviceSource(Protocol):
    """One kind of device. `pids` names the rank processes on each device that is held."""

    def devices(self) -> list[DeviceInfo]: ...

    def read(self, now_s: float, pids: Mapping[str, Sequence[int]]) -> dict[str, DeviceReading]: ...

    def close(self) -> None: ...


class NoDevices:
    """A machine, or a moment, without any device to read."""

    def devices(self) -> list[DeviceInfo]:
        return []

    def read(self, now_s: float, pids: Mapping[str, Sequence[int]]) -> dict[str, DeviceReading]:
        return {}

    def close(self) -> None:
        return None


class Rates:
    """Rates from counters that only grow, by differencing consecutive polls: no moment goes unseen."""

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
        """Set `metric` to the counter's growth per second times `scale`, or say why there is none."""
        last, at_s = self._last.get(key, (counter, now_s))
        self._last[key] = (counter, now_s)
        if now_s <= at_s:
            reading.set_missing("absent", FIRST, metric)
        elif counter < last:
            reading.set_missing("error", BACKWARDS, metric)
        else:
            reading.metrics[metric] = (counter - last) / (now_s - at_s) * scale
