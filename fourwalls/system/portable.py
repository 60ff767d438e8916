"""CPU device of a machine without /proc (macOS, Windows), read by psutil."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from fourwalls.system.cpu import NO_RANK, NOT_A_GPU, cpu_devices
from fourwalls.system.readings import FIRST, DeviceInfo, DeviceReading, Rates

NO_PROC = "this system has no /proc"
NO_PSUTIL = "this system has no /proc, and psutil is not installed"
OF_LINUX = (
    "memory_pss_bytes", "memory_limit_bytes", "power_w", "energy_j", "sm_clock_hz", "temperature_celsius",
    "cpu_throttle_share", "cpu_pressure_share", "memory_pressure_share", "io_pressure_share",
)  # fmt: skip
OF_PSUTIL = (
    "utilisation_pct",
    "cores_used",
    "memory_used_bytes",
    "network_tx_bytes_per_s",
    "network_rx_bytes_per_s",
)


class PortableCpu:
    """The whole machine as one device. What psutil does not read, or everything without it, has a reason."""

    def __init__(self, psutil: Any = None) -> None:
        self._psutil = psutil if psutil is not None else _import_psutil()
        self._devices = cpu_devices(1)
        self._rates = Rates()
        self._last: tuple[float, float] | None = None  # CPU seconds of the processes, time

    def devices(self) -> list[DeviceInfo]:
        return self._devices

    def read(self, now_s: float, pids: Mapping[str, Sequence[int]]) -> dict[str, DeviceReading]:
        device, began_s = self._devices[0], time.perf_counter()
        reading = DeviceReading()
        reading.set_missing("absent", NO_PROC, *OF_LINUX)
        if self._psutil is None:
            reading.set_missing("absent", NO_PSUTIL, *OF_PSUTIL)
        else:
            self._read_processes(reading, device, now_s, pids.get(device.id, ()))
            sent = self._psutil.net_io_counters()
            self._rates.put(reading, "network_tx_bytes_per_s", "sent", sent.bytes_sent, now_s)
            self._rates.put(reading, "network_rx_bytes_per_s", "received", sent.bytes_recv, now_s)
        reading.metrics["sampling_s"] = time.perf_counter() - began_s
        return {device.id: reading.fill_unsupported(NOT_A_GPU)}

    def close(self) -> None:
        self._last = None

    def _read_processes(
        self, reading: DeviceReading, device: DeviceInfo, now_s: float, pids: Sequence[int]
    ) -> None:
        cpu_s, resident, count = 0.0, 0, 0
        for pid in pids:
            try:
                process = self._psutil.Process(pid)
                times = process.cpu_times()
                cpu_s, resident = cpu_s + times.user + times.system, resident + process.memory_info().rss
                count += 1
            except self._psutil.Error:  # it has ended, or may not be read
                continue
        last, self._last = self._last, (cpu_s, now_s)
        if not count:
            return reading.set_missing(
                "absent", NO_RANK, "utilisation_pct", "cores_used", "memory_used_bytes"
            )
        reading.metrics["memory_used_bytes"] = float(resident)
        if last is None or now_s <= last[1] or cpu_s < last[0]:
            return reading.set_missing("absent", FIRST, "utilisation_pct", "cores_used")
        reading.metrics["cores_used"] = (cpu_s - last[0]) / (now_s - last[1])
        reading.metrics["utilisation_pct"] = 100 * reading.metrics["cores_used"] / (device.cores or 1.0)
        return None


def _import_psutil() -> Any:
    try:
        import psutil
    except ImportError:
        return None
    return psutil
