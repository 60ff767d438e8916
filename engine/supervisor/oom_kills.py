"""Out-of-memory kills of ranks, by the kernel's counts of their control groups."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from engine.directory import RankExit
from fourwalls.system import cgroup
from fourwalls.system.cgroup import Group

NOT_KNOWN = " (out of memory or by hand)"
GIB = 2**30


@dataclass(frozen=True)
class _Counts:
    """Counts of the kernel when a rank was first seen in its groups."""

    groups: tuple[Group, ...]  # its own first
    kills: tuple[int | None, ...]
    limit_hits: tuple[int | None, ...]

    @classmethod
    def read(cls, groups: tuple[Group, ...]) -> _Counts:
        kills = tuple(cgroup.read_oom_kills(group) for group in groups)
        return cls(groups, kills, tuple(cgroup.read_limit_hits(group) for group in groups))


class OomWatch:
    """Compares the kernel's counts of out-of-memory kills before and after the end of a rank.

    The kernel counts a kill before it sends the signal, so the count has risen when the end of the process is seen.
    """

    def __init__(self, processes: Path = Path("/proc")) -> None:
        self._processes = processes
        self._machine_kills = cgroup.read_machine_oom_kills(processes / "vmstat")
        self._counts: dict[int, _Counts] = {}

    def update(self, ranks: Iterable[RankExit]) -> None:
        """Read the groups of living ranks; counts of a new group are those of now. Somebody may move a rank."""
        for rank in ranks:
            groups = tuple(cgroup.find_groups("memory", self._processes / str(rank.pid)))
            known = self._counts.get(rank.rank)
            if groups and (known is None or known.groups != groups):
                self._counts[rank.rank] = _Counts.read(groups)

    def explain_kill(self, rank: int) -> str:
        """Return what is known about why a rank was killed by SIGKILL, to be added to the sentence."""
        before = self._counts.get(rank)
        if before is None:
            return self._explain_by_machine()
        after = _Counts.read(before.groups)
        changes = [_difference(*pair) for pair in zip(before.kills, after.kills, strict=True)]
        # Version 1 counts in the group of the process alone; version 2 in its ancestors too, for all their groups.
        kills = next((change for change in changes if change is not None), None)
        if kills is None:
            return self._explain_by_machine()
        if kills == 0:
            return (
                f" (by hand or by another program: the kernel counts no out-of-memory kill in the control group "
                f"{before.groups[0].name})"
            )
        times = "one out-of-memory kill" if kills == 1 else f"{kills} out-of-memory kills"
        return f": out of memory; the kernel counts {times} in {_describe_limit(before, after)}"

    def _explain_by_machine(self) -> str:
        kills = _difference(self._machine_kills, cgroup.read_machine_oom_kills(self._processes / "vmstat"))
        if not kills:
            return NOT_KNOWN
        return (
            f" (probably out of memory: the kernel counts {kills} such kills on this machine since the start)"
        )


def _describe_limit(before: _Counts, after: _Counts) -> str:
    """Name the group whose limit was reached: the nearest one that counts it, else the one with the smallest limit."""
    own = f"the control group {before.groups[0].name}"
    hits = [_difference(*pair) or 0 for pair in zip(before.limit_hits, after.limit_hits, strict=True)]
    limits = {group: limit for group in before.groups if (limit := cgroup.read_memory_limit(group))}
    reached = [group for group, hit in zip(before.groups, hits, strict=True) if hit > 0 and group in limits]
    if not reached and any(hit is not None for hit in after.limit_hits):
        return (
            f"{own}; no limit that is visible here was reached, so the machine or a group above had none left"
        )
    if not limits:
        return own
    group = reached[0] if reached else min(limits, key=lambda group: limits[group])
    size = f"{limits[group] / GIB:.3g} GiB"
    return f"{own}, whose limit is {size}" if group == before.groups[0] else f"{own}; {group.name} has {size}"


def _difference(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else max(0, after - before)
