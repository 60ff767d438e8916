"""Limits and throttling of the control group, versions 1 and 2."""

from __future__ import annotations

from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
UNLIMITED_BYTES = 1 << 60  # version 1 writes "no limit" as a huge number


def cores(root: Path = ROOT) -> float | None:
    """The CPU quota in cores; None without a quota."""
    quota, _, period = _text(root / "cpu.max").strip().partition(" ")
    if quota.isdigit():
        return int(quota) / int(period)
    old, old_period = _whole(root / "cpu/cpu.cfs_quota_us"), _whole(root / "cpu/cpu.cfs_period_us")
    return old / old_period if old and old_period else None


def memory_limit_bytes(root: Path = ROOT) -> int | None:
    """The memory limit; None without a limit."""
    found = (_whole(root / "memory.max"), _whole(root / "memory/memory.limit_in_bytes"))
    return min((limit for limit in found if limit and limit < UNLIMITED_BYTES), default=None)


def throttled_s(root: Path = ROOT) -> float | None:
    """Time in which processes waited because the quota was used up, since the group was created. None if the kernel
    does not count it (no quota, no CPU controller)."""
    for path, key, scale in (
        (root / "cpu.stat", "throttled_usec", 1e-6),
        (root / "cpu/cpu.stat", "throttled_time", 1e-9),
    ):
        counts = dict(line.split() for line in _text(path).splitlines() if line.count(" ") == 1)
        if key in counts:
            return int(counts[key]) * scale
    return None


def _whole(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
