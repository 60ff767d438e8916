"""CPU devices: equal shares of the machine's cores, read from /proc and RAPL."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from fourwalls.system import cgroup, host, procfs
from fourwalls.system.readings import FIRST, DeviceInfo, DeviceReading, Rates

NO_RANK = "no rank on this device"
PSS_COSTS = "PSS is not read beside a script: it would delay the memory of its process"
NOT_A_GPU = "a CPU device has no such counter"
CLOCK_CORES = 8  # whose clock is read: reading it can interrupt a core
SLOW_EVERY_S = 10.0  # for expensive readings: for PSS the kernel walks all pages of a process
# Reading PSS takes 20 ms of CPU per GiB (measured 2026-11-27) and blocks allocations of the rank meanwhile.
PSS_LIMIT_BYTES = 2 * 2**30
SOURCES = {
    "utilisation_pct": "/proc/<pid>/stat", "cores_used": "/proc/<pid>/stat", "memory_used_bytes": "/proc/<pid>/stat",
    "memory_pss_bytes": "/proc/<pid>/smaps_rollup", "memory_limit_bytes": "cgroup memory limit",
    "power_w": "RAPL", "energy_j": "RAPL", "sm_clock_hz": "cpufreq", "temperature_celsius": "hwmon",
    "network_tx_bytes_per_s": "/proc/net/dev", "network_rx_bytes_per_s": "/proc/net/dev",
    "cpu_throttle_share": "cgroup cpu.stat", "cpu_pressure_share": "/proc/pressure/cpu",
    "memory_pressure_share": "/proc/pressure/memory", "io_pressure_share": "/proc/pressure/io",
}  # fmt: skip


class Cpu:
    """Reads the processes of the ranks, but not their children: walking a process tree takes 14 ms per tick."""

    def __init__(
        self, count: int | None = None, system: Path = Path("/sys"), *, reads_pss: bool = True
    ) -> None:
        self._reads_pss = reads_pss
        self._devices = cpu_devices(count)
        self._rapl = Rapl(system / "class/powercap")
        self._thermometers = _thermometers(system)
        self._clocks = sorted(system.glob("devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq"))[
            :CLOCK_CORES
        ]
        self._rates = Rates()
        self._last: dict[int, tuple[float, float, float]] = {}  # pid -> start, CPU seconds, time of reading
        self._slow_at_s = float("-inf")
        self._slow: dict[str, DeviceReading] = {}  # device -> its slow readings

    def devices(self) -> list[DeviceInfo]:
        return self._devices

    def read(self, now_s: float, pids: Mapping[str, Sequence[int]]) -> dict[str, DeviceReading]:
        start_s, seen = time.perf_counter(), dict[int, tuple[float, float, float]]()
        shared, readings = self._read_shared(now_s), {}
        is_slow_tick = now_s - self._slow_at_s >= SLOW_EVERY_S
        if is_slow_tick:
            self._slow_at_s = now_s
            self._slow = {one.id: self._read_slow(pids.get(one.id, ())) for one in self._devices}
        for device in self._devices:
            reading = DeviceReading(dict(shared.metrics), dict(shared.missing), shared.energy_counter_j)
            reading.sources, reading.has_new_slow = SOURCES, is_slow_tick
            reading.slow = dict(self._slow[device.id].metrics)
            reading.missing |= self._slow[device.id].missing
            self._read_ranks(reading, device, now_s, pids.get(device.id, ()), seen)
            readings[device.id] = reading
        self._last = seen
        cost_s = (time.perf_counter() - start_s) / len(self._devices)
        for reading in readings.values():
            reading.metrics["sampling_s"] = cost_s
            reading.fill_unsupported(NOT_A_GPU)
        return readings

    def close(self) -> None:
        self._last = {}

    def _read_ranks(
        self, reading: DeviceReading, device: DeviceInfo, now_s: float, pids: Sequence[int],
        seen: dict[int, tuple[float, float, float]],
    ) -> None:  # fmt: skip
        found = {pid: stat for pid in pids if (stat := procfs.stat(pid))}
        if not found:
            return reading.set_missing(
                "absent", NO_RANK, "utilisation_pct", "cores_used", "memory_used_bytes"
            )
        reading.metrics["memory_used_bytes"] = sum(stat.rss_bytes for stat in found.values())
        cores_used = 0.0
        for pid, stat in found.items():
            seen[pid] = (stat.started_ticks, stat.cpu_s, now_s)
            started, cpu_s, at_s = self._last.get(pid, (None, 0.0, now_s))
            if started != stat.started_ticks or now_s <= at_s:
                return reading.set_missing("absent", FIRST, "utilisation_pct", "cores_used")
            cores_used += (stat.cpu_s - cpu_s) / (now_s - at_s)
        reading.metrics["cores_used"] = cores_used
        reading.metrics["utilisation_pct"] = 100 * cores_used / (device.cores or 1.0)
        return None

    def _read_slow(self, pids: Sequence[int]) -> DeviceReading:
        reading = DeviceReading()
        if not self._reads_pss:
            reading.set_missing("unsupported", PSS_COSTS, "memory_pss_bytes")
            self._read_limit(reading)
            return reading
        resident = [stat.rss_bytes for pid in pids if (stat := procfs.stat(pid))]
        is_too_large = sum(resident) > PSS_LIMIT_BYTES
        parts = [] if is_too_large else [pss for pid in pids if (pss := procfs.pss_bytes(pid)) is not None]
        if is_too_large:
            reading.set_missing(
                "unsupported", "PSS is not read for ranks with more than 2 GiB of memory", "memory_pss_bytes"
            )
        elif parts:
            reading.metrics["memory_pss_bytes"] = float(sum(parts))
        else:
            reading.set_missing("absent", NO_RANK, "memory_pss_bytes")
        self._read_limit(reading)
        return reading

    @staticmethod
    def _read_limit(reading: DeviceReading) -> None:
        if (limit := cgroup.memory_limit_bytes()) is not None:
            reading.metrics["memory_limit_bytes"] = float(limit)
        else:
            reading.set_missing("absent", "no control group limits memory", "memory_limit_bytes")

    def _read_shared(self, now_s: float) -> DeviceReading:
        """Readings of the whole machine, which apply to each of its CPU devices."""
        reading = DeviceReading()
        self._read_energy(reading, now_s)
        clocks_hz = [1000.0 * value for path in self._clocks if (value := _number(path)) is not None]
        temperatures = [value / 1000 for path in self._thermometers if (value := _number(path)) is not None]
        if clocks_hz:
            reading.metrics["sm_clock_hz"] = sum(clocks_hz) / len(clocks_hz)
        else:
            reading.set_missing(
                "absent", "this machine exposes no core clock (usual in virtual machines)", "sm_clock_hz"
            )
        if temperatures:
            reading.metrics["temperature_celsius"] = max(temperatures)
        else:
            reading.set_missing(
                "absent",
                "this machine exposes no temperature sensor (usual in virtual machines)",
                "temperature_celsius",
            )
        for what in ("cpu", "memory", "io"):
            if (pressure := host.pressure_share(what)) is not None:
                reading.metrics[f"{what}_pressure_share"] = pressure
            else:
                reading.set_missing(
                    "absent", "this kernel has no pressure stall information (PSI)", f"{what}_pressure_share"
                )
        self._read_counters(reading, now_s)
        return reading

    def _read_counters(self, reading: DeviceReading, now_s: float) -> None:
        """Rates from the counters of the network and of the control group."""
        carried = host.network_bytes()
        for direction, metric in enumerate(("network_tx_bytes_per_s", "network_rx_bytes_per_s")):
            if carried is None:
                reading.set_missing("absent", "this machine has no network interface but loopback", metric)
            else:
                self._rates.put(reading, metric, metric, carried[direction], now_s)
        throttled_s = cgroup.throttled_s()
        if throttled_s is None:
            reading.set_missing("absent", "no control group counts throttling", "cpu_throttle_share")
        else:
            self._rates.put(reading, "cpu_throttle_share", "throttled", throttled_s, now_s)

    def _read_energy(self, reading: DeviceReading, now_s: float) -> None:
        try:
            energy_j = self._rapl.energy_j()
        except PermissionError:
            return reading.set_missing(
                "denied", "only root may read the energy counter (RAPL)", "power_w", "energy_j"
            )
        if energy_j is None:
            reason = "this machine has no energy counter (RAPL), which is usual in virtual machines"
            return reading.set_missing("absent", reason, "power_w", "energy_j")
        if len(self._devices) > 1:  # the power of one share of the cores cannot be measured
            reason = f"the energy counter covers the whole machine, which has {len(self._devices)} devices"
            return reading.set_missing("unsupported", reason, "power_w", "energy_j")
        reading.energy_counter_j = energy_j
        return self._rates.put(reading, "power_w", "energy", energy_j, now_s)


class Rapl:
    """Energy counters of all CPU packages. Each wraps at its own range, often within an hour."""

    def __init__(self, folder: Path) -> None:
        names = {path: _text(path / "name") for path in sorted(folder.glob("intel-rapl:*"))}
        self._packages = [path for path, name in names.items() if name.startswith("package")]
        self._last_uj: dict[Path, float] = {}
        self._wrapped_uj = 0.0

    def energy_j(self) -> float | None:
        """Joules of all packages, corrected for wraps. None without a counter. Raises PermissionError."""
        total_uj = 0.0
        for package in self._packages:
            now_uj = float((package / "energy_uj").read_text())
            if now_uj < self._last_uj.get(package, 0.0):
                self._wrapped_uj += float((package / "max_energy_range_uj").read_text())
            self._last_uj[package] = now_uj
            total_uj += now_uj
        return (total_uj + self._wrapped_uj) / 1e6 if self._packages else None


def cpu_devices(count: int | None = None) -> list[DeviceInfo]:
    """The machine in `count` equal shares (default FOURWALLS_CPU_DEVICES, else 2), each of at least one core."""
    cores, memory_bytes = host.cores(), _read_memory_bytes()
    wanted = count if count is not None else int(os.environ.get("FOURWALLS_CPU_DEVICES", "2"))
    shares = max(1, min(wanted, int(cores)))
    return [
        DeviceInfo(
            id=f"cpu-{host.machine_id()}-{index}",
            kind="cpu",
            index=index,
            name=host.cpu_name(),
            memory_bytes=None if memory_bytes is None else memory_bytes // shares,
            cores=cores / shares,
        )
        for index in range(shares)
    ]


def _read_memory_bytes() -> int | None:
    try:
        return host.memory_bytes()
    except KeyError:  # no /proc
        return None


def _thermometers(system: Path) -> list[Path]:
    """Sensor files in thousandths of a degree: those of the chip, else the thermal zone of the package."""
    chips = [
        p
        for p in system.glob("class/hwmon/hwmon*")
        if _text(p / "name") in ("coretemp", "k10temp", "zenpower")
    ]
    zones = [
        p
        for p in system.glob("class/thermal/thermal_zone*")
        if _text(p / "type") in ("x86_pkg_temp", "cpu-thermal")
    ]
    return sorted(path / "temp1_input" for path in chips) or sorted(path / "temp" for path in zones)


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _number(path: Path) -> float | None:
    try:
        return float(path.read_text())
    except (OSError, ValueError):
        return None
