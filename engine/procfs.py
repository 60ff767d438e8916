"""What /proc says of processes: parents, CPU time, memory, start times, environments."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class ProcessStat(NamedTuple):
    """One read of /proc/<pid>/stat: a process's own figures, without its children's."""

    parent: int
    cpu_s: float  # user and system, since it began
    rss_bytes: int
    started_ticks: float  # since boot; together with the pid it names one process for ever


def stat(pid: int) -> ProcessStat | None:
    """None for a process that is gone, or is a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The command name stands in parentheses and may hold anything, so count fields from its end (field 3 on).
    fields = text.rpartition(b") ")[2].split()
    if fields[0] in (b"Z", b"X"):
        return None
    cpu_ticks = int(fields[11]) + int(fields[12])
    return ProcessStat(
        int(fields[1]), cpu_ticks / TICKS_PER_S, int(fields[21]) * PAGE_BYTES, float(fields[19])
    )


def pss_bytes(pid: int) -> int | None:
    """Its memory with what it shares counted in parts. Dear: the kernel walks all its pages (some ms a GiB)."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), None)


def is_stopped(pid: int) -> bool:
    """Whether a signal, or a debugger, holds the process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return text.rpartition(b") ")[2][:1] in (b"T", b"t")


def is_alive(pid: int, started_ticks: float) -> bool:
    """Whether this very process lives: a pid alone may have gone to another one."""
    now = stat(pid)
    return now is not None and now.started_ticks == started_ticks


def started_at(started_ticks: float) -> float:
    """Unix time of a start given in clock ticks since boot; good to 10 ms."""
    return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - started_ticks / TICKS_PER_S)


def pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def descendants(ancestor: int) -> list[int]:
    """Every living process below `ancestor`."""
    parents = {pid: found.parent for pid in pids() if (found := stat(pid))}
    below = {ancestor}
    while new := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= new
    return sorted(below - {ancestor})


def is_below(pid: int, ancestor: int) -> bool:
    while pid > 1 and (found := stat(pid)):
        if found.parent == ancestor:
            return True
        pid = found.parent
    return False


def environment_value(pid: int, name: str) -> str | None:
    """A variable as the process was started with it; None where it has none or it may not be read."""
    try:
        entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    prefix = name.encode() + b"="
    return next((os.fsdecode(e[len(prefix) :]) for e in entries if e.startswith(prefix)), None)
