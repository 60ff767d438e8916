"""Readings and identity of the whole machine."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import socket
import sys
from pathlib import Path
from typing import Any

from fourwalls.system import cgroup


def cores() -> float:
    """Cores this process may use: its affinity, or the quota of the control group if that is less."""
    has_affinity = hasattr(os, "sched_getaffinity")  # not on macOS and Windows
    allowed = float(len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1)
    quota = cgroup.cores()
    return min(allowed, quota) if quota else allowed


def memory_bytes() -> int:
    """Memory of the machine, or the limit of the control group if that is less. Raises KeyError without /proc."""
    return min(_meminfo()["MemTotal"], cgroup.memory_limit_bytes() or sys.maxsize)


def cpu_name() -> str:
    for line in _text(Path("/proc/cpuinfo")).splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return f"CPU ({platform.machine()})"


def machine_id() -> str:
    """Twelve hexadecimal digits that stay the same until the system is reinstalled."""
    return hashlib.sha256((known_machine_id() or socket.gethostname()).encode()).hexdigest()[:12]


def known_machine_id(file: Path = Path("/etc/machine-id")) -> str:
    """The identity that the environment or the system gives; '' where there is none, as in most containers."""
    # FOURWALLS_MACHINE_ID distinguishes several nodes on one machine.
    written = _text(file).strip()
    return os.environ.get("FOURWALLS_MACHINE_ID") or ("" if written == "uninitialized" else written)


def pressure_share(what: str, folder: Path = Path("/proc/pressure")) -> float | None:
    """Share of the last 10 s in which some process waited for `what` (cpu, memory, io); None without PSI."""
    first = _text(folder / what).partition("\n")[0]
    values = dict(word.partition("=")[::2] for word in first.split()[1:])
    return float(values["avg10"]) / 100 if "avg10" in values else None


class Host:
    """Readings of the machine that belong to no single device."""

    def __init__(self, folder: Path) -> None:
        """`folder`: whose disk is read."""
        self._folder = folder
        self._busy, self._total = _cpu_ticks()

    def read(self) -> dict[str, Any]:
        """Values by name; None for a value that cannot be read."""
        last_busy, last_total = self._busy, self._total
        self._busy, self._total = _cpu_ticks()
        elapsed = self._total - last_total
        memory = _meminfo()
        return {
            "cpu_pct": 100 * (self._busy - last_busy) / elapsed if elapsed > 0 else None,
            "memory_total_bytes": memory["MemTotal"],
            "memory_used_bytes": memory["MemTotal"] - memory["MemAvailable"],
            "cpu_pressure_share": pressure_share("cpu"),
            "memory_pressure_share": pressure_share("memory"),
            "io_pressure_share": pressure_share("io"),
            "load_1min": os.getloadavg()[0],
            **_disk(self._folder),
        }


def _disk(folder: Path) -> dict[str, int | None]:
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return {"disk_free_bytes": None, "disk_total_bytes": None}
    return {"disk_free_bytes": usage.free, "disk_total_bytes": usage.total}


def _cpu_ticks() -> tuple[int, int]:
    """(busy, all) clock ticks of all cores since boot. User time includes guest time."""
    with Path("/proc/stat").open("rb") as file:
        ticks = [int(word) for word in file.readline().split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def _meminfo() -> dict[str, int]:
    """MemTotal, MemFree and MemAvailable in bytes, from the first three lines."""
    lines = _text(Path("/proc/meminfo")).splitlines()[:3]
    return {key: int(value.split()[0]) * 1024 for key, _, value in (line.partition(":") for line in lines)}


def network_bytes(path: Path = Path("/proc/net/dev")) -> tuple[int, int] | None:
    """(sent, received) by all interfaces but loopback since boot; None without such an interface."""
    rows = [line.split(":", 1) for line in _text(path).splitlines()[2:] if ":" in line]
    counts = [list(map(int, values.split())) for name, values in rows if name.strip() != "lo"]
    return (sum(row[8] for row in counts), sum(row[0] for row in counts)) if counts else None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
