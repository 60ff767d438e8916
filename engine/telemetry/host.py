"""The machine as a whole: its cores and memory, how busy they are, and who it is."""

from __future__ import annotations

import hashlib
import os
import platform
import socket
from pathlib import Path
from typing import Any

CGROUP = Path("/sys/fs/cgroup")
UNLIMITED_BYTES = 1 << 60  # cgroup v1 writes "no limit" as a huge number


def cores() -> float:
    """Cores this process may use: its affinity, or less where a cgroup sets a quota."""
    allowed = float(len(os.sched_getaffinity(0)))
    quota = _cgroup_cores()
    return min(allowed, quota) if quota else allowed


def memory_bytes() -> int:
    """The memory of the machine, or the cgroup's limit where that is less."""
    total = _meminfo()["MemTotal"]
    limits = [_whole(CGROUP / "memory.max"), _whole(CGROUP / "memory/memory.limit_in_bytes")]
    return min([total, *(limit for limit in limits if limit and limit < UNLIMITED_BYTES)])


def cpu_name() -> str:
    for line in _text(Path("/proc/cpuinfo")).splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return f"CPU ({platform.machine()})"


def machine_id() -> str:
    """Twelve hexadecimal digits that stay the same until the system is installed anew."""
    # HEADROOM_MACHINE_ID: for several nodes on one machine, which must not take each other's devices for their own.
    told = (
        os.environ.get("HEADROOM_MACHINE_ID")
        or _text(Path("/etc/machine-id")).strip()
        or socket.gethostname()
    )
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def cpu_pressure_share() -> float | None:
    """Share of the last 10 s in which some process waited for a core; None on kernels without PSI."""
    first = _text(Path("/proc/pressure/cpu")).partition("\n")[0]
    values = dict(word.partition("=")[::2] for word in first.split()[1:])
    return float(values["avg10"]) / 100 if "avg10" in values else None


class Host:
    """Readings of the machine that belong to no single device."""

    def __init__(self) -> None:
        self._busy, self._total = _cpu_ticks()

    def read(self) -> dict[str, Any]:
        """Values by name; one that cannot be had is None."""
        last_busy, last_total = self._busy, self._total
        self._busy, self._total = _cpu_ticks()
        elapsed = self._total - last_total
        memory = _meminfo()
        return {
            "cpu_pct": 100 * (self._busy - last_busy) / elapsed if elapsed > 0 else None,
            "memory_total_bytes": memory["MemTotal"],
            "memory_used_bytes": memory["MemTotal"] - memory["MemAvailable"],
            "cpu_pressure_share": cpu_pressure_share(),
            "load_1min": os.getloadavg()[0],
        }


def _cpu_ticks() -> tuple[int, int]:
    """(busy, all) clock ticks of all cores since boot. Guest time is within user time, so it is left out."""
    with Path("/proc/stat").open("rb") as file:
        ticks = [int(word) for word in file.readline().split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def _meminfo() -> dict[str, int]:
    """MemTotal and MemAvailable in bytes; they stand in the first lines."""
    lines = _text(Path("/proc/meminfo")).splitlines()[:3]
    return {key: int(value.split()[0]) * 1024 for key, _, value in (line.partition(":") for line in lines)}


def _cgroup_cores() -> float | None:
    quota, _, period = _text(CGROUP / "cpu.max").strip().partition(" ")
    if quota.isdigit():
        return int(quota) / int(period)
    old = _whole(CGROUP / "cpu/cpu.cfs_quota_us")
    old_period = _whole(CGROUP / "cpu/cpu.cfs_period_us")
    return old / old_period if old and old_period else None


def _whole(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
