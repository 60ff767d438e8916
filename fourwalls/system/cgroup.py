"""Control groups of a process, versions 1 and 2: limits, throttling, OOM kills.

A process belongs to one group per hierarchy (/proc/<pid>/cgroup), which is mounted somewhere (/proc/<pid>/mountinfo)
and has ancestors; a limit of any of them applies. Containers may see a part of the hierarchy only.
Sources: https://docs.kernel.org/admin-guide/cgroup-v2.html, https://docs.kernel.org/admin-guide/cgroup-v1/memory.html,
man 7 cgroups, man 5 proc_pid_mountinfo.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

OWN = Path("/proc/self")
UNLIMITED_BYTES = 1 << 60  # version 1 writes "no limit" as a huge number
DELETED = " (deleted)"


@dataclass(frozen=True)
class Group:
    """One group of a hierarchy: its folder, and its name in /proc/<pid>/cgroup."""

    folder: Path
    name: str
    version: int


@dataclass(frozen=True)
class _Mount:
    point: Path
    root: str  # path of the mounted group in its hierarchy
    kind: str  # cgroup or cgroup2
    options: frozenset[str]  # of version 1: its controllers


def find_groups(controller: str, process: Path = OWN) -> list[Group]:
    """Return the groups of a process that limit `controller`: its own first, then the ancestors that are visible.

    In a hybrid system these are groups of both versions; files of a controller are in those of one version.
    """
    mounts = list(_read_mounts(process))
    found: list[Group] = []
    for line in _text(process / "cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        is_second = number == "0" and not controllers
        if not path.startswith("/") or not (is_second or controller in controllers.split(",")):
            continue
        fitting = [
            mount
            for mount in mounts
            if (
                mount.kind == "cgroup2"
                if is_second
                else mount.kind == "cgroup" and controller in mount.options
            )
        ]
        for group in _walk(fitting, path.removesuffix(DELETED), 2 if is_second else 1):
            if group not in found:
                found.append(group)
    return found


def cores(process: Path = OWN) -> float | None:
    """The smallest CPU quota of the group and its ancestors, in cores; None without a quota."""
    quotas = [quota for group in find_groups("cpu", process) if (quota := _cores(group.folder)) is not None]
    return min(quotas, default=None)


def memory_limit_bytes(process: Path = OWN) -> int | None:
    """The smallest memory limit of the group and its ancestors; None without a limit."""
    limits = [limit for group in find_groups("memory", process) if (limit := read_memory_limit(group))]
    return min(limits, default=None)


def read_memory_limit(group: Group) -> int | None:
    """The limit of one group; in version 1 with that of the ancestors, which a container does not see."""
    found = [_whole(group.folder / "memory.max"), _whole(group.folder / "memory.limit_in_bytes")]
    if group.version == 1:
        found.append(_read_counts(group.folder / "memory.stat").get("hierarchical_memory_limit"))
    return min((limit for limit in found if limit and limit < UNLIMITED_BYTES), default=None)


def throttled_s(process: Path = OWN) -> float | None:
    """Time in which processes waited because a quota was used up, since the groups were created.

    The sum over the group and its ancestors: each counts its own quota only. None if the kernel does not count it
    (no quota, no CPU controller).
    """
    found = []
    for group in find_groups("cpu", process):
        counts = _read_counts(group.folder / "cpu.stat")
        if "throttled_usec" in counts:
            found.append(counts["throttled_usec"] * 1e-6)
        elif "throttled_time" in counts:
            found.append(counts["throttled_time"] * 1e-9)
    return sum(found) if found else None


def read_oom_kills(group: Group) -> int | None:
    """How many processes of the group the kernel has killed for memory; None if it does not count them."""
    name = "memory.events" if group.version == 2 else "memory.oom_control"
    return _read_counts(group.folder / name).get("oom_kill")


def read_limit_hits(group: Group) -> int | None:
    """How often the group's own memory limit was reached and no memory could be freed (version 1: was reached)."""
    if group.version == 2:
        return _read_counts(group.folder / "memory.events").get("oom")
    return _whole(group.folder / "memory.failcnt")


def read_machine_oom_kills(path: Path = Path("/proc/vmstat")) -> int | None:
    """How many processes of the machine the kernel has killed for memory, in any group; None before Linux 4.13."""
    return _read_counts(path).get("oom_kill")


def _read_mounts(process: Path) -> Iterator[_Mount]:
    for line in _text(process / "mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(" "), after.split(" ")
        if len(fields) >= 5 and len(kinds) >= 3 and kinds[0] in ("cgroup", "cgroup2"):
            yield _Mount(
                Path(_unescape(fields[4])), _unescape(fields[3]), kinds[0], frozenset(kinds[2].split(","))
            )


def _walk(mounts: list[_Mount], path: str, version: int) -> Iterator[Group]:
    """Yield the group at `path` of a hierarchy and its ancestors, from the mount that shows most of them.

    A group outside of what is mounted, or seen from another namespace (`/../..`), is not visible, but what is mounted
    is then an ancestor or the group itself.
    """
    best: list[Group] = []
    for mount in mounts:
        below = PurePosixPath(path)
        is_inside = below.is_relative_to(mount.root) and ".." not in below.parts
        parts = below.relative_to(mount.root).parts if is_inside else ()
        groups = []
        for length in range(len(parts), -1, -1):
            folder = mount.point.joinpath(*parts[:length])
            name = str(PurePosixPath(mount.root, *parts[:length])) if is_inside else path
            if folder.is_dir():  # else it was removed, or belongs to another mount namespace
                groups.append(Group(folder, name, version))
        if len(groups) > len(best):
            best = groups
    yield from best


def _cores(folder: Path) -> float | None:
    quota, _, period = _text(folder / "cpu.max").strip().partition(" ")
    values = (_number(quota), _number(period))
    if values[0] is None:
        values = (_whole(folder / "cpu.cfs_quota_us"), _whole(folder / "cpu.cfs_period_us"))
    return values[0] / values[1] if values[0] and values[1] else None


def _read_counts(path: Path) -> dict[str, int]:
    """Read lines of a name and a whole number; other lines are left out."""
    pairs = [line.split() for line in _text(path).splitlines()]
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and _number(pair[1]) is not None}


def _unescape(text: str) -> str:
    """Decode octal escapes of mountinfo: a space is \\040."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def _whole(path: Path) -> int | None:
    return _number(_text(path).strip())


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
