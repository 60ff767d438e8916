"""What the control group around us allows, and how long it held our processes back: version 2, and version 1."""

from __future__ import annotations

from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
UNLIMITED_BYTES = 1 << 60  # version 1 writes "no limit" as a huge number


def cores(root: Path = ROOT) -> float | None:
    """The quota in cores; None without one."""
    quota, _, period = _text(root / "cpu.max").strip().partition(" ")
    if quota.isdigit():
        return int(quota) / int(period)
    old, old_period = _whole(root / "cpu/cpu.cfs_quota_us"), _whole(root / "cpu/cpu.cfs_period_us")
    return old / old_period if old and old_period else None


def memory_limit_bytes(root: Path = ROOT) -> int | None:
    """None without a limit."""
    found = (_whole(root / "memory.max"), _whole(root / "memory/memory.limit_in_bytes"))
    return min((limit for limit in found if limit and limit < UNLIMITED_BYTES), default=None)


def throttled_s(root: Path = ROOT) -> float | None:
    """Time in which processes had to wait because the quota was used up, since the group began; None where the kernel
    counts none (no quota, no CPU controller)."""
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
