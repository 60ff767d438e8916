"""Processes in /proc: parents, CPU time, memory, start times, environments."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HAS_PROC = os.path.isdir("/proc/self")
TICKS_PER_S = os.sysconf("SC_CLK_TCK") if HAS_PROC else 100
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if HAS_PROC else 4096


class ProcessStat(NamedTuple):
    """Values of one process from /proc/<pid>/stat, without its children."""

    parent: int
    cpu_s: float  # user and system time since its start
    rss_bytes: int
    started_ticks: float  # since boot; with the pid it identifies one process


def stat(pid: int) -> ProcessStat | None:
    """Read the stat values of a process; None if it has ended or is a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The command name is in parentheses and may contain any character, so fields are counted from its end (field 3).
    fields = text.rpartition(b") ")[2].split()
    if fields[0] in (b"Z", b"X"):
        return None
    cpu_ticks = int(fields[11]) + int(fields[12])
    return ProcessStat(
        int(fields[1]), cpu_ticks / TICKS_PER_S, int(fields[21]) * PAGE_BYTES, float(fields[19])
    )


def pss_bytes(pid: int) -> int | None:
    """Return the proportional set size. Expensive: the kernel walks all pages (some ms per GiB)."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), None)


def is_stopped(pid: int) -> bool:
    """Whether the process is stopped by a signal or a debugger."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return text.rpartition(b") ")[2][:1] in (b"T", b"t")


def is_alive(pid: int, started_ticks: float) -> bool:
    """Whether exactly this process is alive; its pid alone may belong to a later process."""
    now = stat(pid)
    return now is not None and now.started_ticks == started_ticks


def started_at(started_ticks: float) -> float:
    """Convert a start time in clock ticks since boot to unix time, exact to 10 ms."""
    return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - started_ticks / TICKS_PER_S)


def pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def descendants(ancestor: int) -> list[int]:
    """Return the pids of all living descendants of `ancestor`."""
    parents = {pid: found.parent for pid in pids() if (found := stat(pid))}
    below = {ancestor}
    while new := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= new
    return sorted(below - {ancestor})


def children(pid: int) -> list[int]:
    """Return the pids of the children of a process, without a walk over all processes.

    Empty if the process has ended, or if the kernel does not list children (CONFIG_PROC_CHILDREN).
    """
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split())
    except OSError:  # it has ended, or one of its threads has
        pass
    return found


def tree(pid: int, limit: int = 256) -> list[int]:
    """Return a process and its descendants, at most `limit` of them."""
    found = [pid]
    for each in found:
        if len(found) >= limit:
            break
        found += (child for child in children(each) if child not in found)
    return found[:limit]


def is_below(pid: int, ancestor: int) -> bool:
    while pid > 1 and (found := stat(pid)):
        if found.parent == ancestor:
            return True
        pid = found.parent
    return False


def environment_value(pid: int, name: str) -> str | None:
    """Return a variable of the process's initial environment; None if it is unset or not readable."""
    try:
        entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    prefix = name.encode() + b"="
    return next((os.fsdecode(e[len(prefix) :]) for e in entries if e.startswith(prefix)), None)
