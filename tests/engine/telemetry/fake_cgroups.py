"""Fake /proc/<pid> and control group trees, generated with what is right for each."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

MIB = 2**20
NAMES = ("user.slice", "kubepods", "pod 7", "docker", "a1b2c3", "job.scope")
Files = dict[str, str]


@dataclass
class FakeTree:
    """A process with its groups, and the oracle: the limits that apply to it."""

    process: Path
    cores: float | None = None
    memory_bytes: int | None = None
    throttled_s: float | None = None
    own: list[Path] = field(default_factory=list)  # visible folders of the memory groups, the own one first


def write_files(folder: Path, files: Files) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def write_process(process: Path, groups: list[str], mounts: list[str]) -> None:
    write_files(process, {"cgroup": "\n".join(groups) + "\n", "mountinfo": "\n".join(mounts) + "\n"})


def mount_line(point: Path, root: str, kind: str, options: str) -> str:
    escaped = str(point).replace(" ", "\\040"), root.replace(" ", "\\040")
    return f"35 31 0:32 {escaped[1]} {escaped[0]} rw,relatime shared:9 - {kind} {kind} rw,{options}"


def generate(folder: Path, seed: int) -> FakeTree:
    """Generate one tree: version 1, 2 or hybrid, nested, in a container or not, with missing and unlimited files."""
    draw = random.Random(seed)
    tree = FakeTree(folder / "proc")
    kind = draw.choice(["v1", "v2", "hybrid"])
    parts = [draw.choice(NAMES) for _ in range(draw.randrange(5))]
    groups, mounts = ["7:freezer:/", "1:name=systemd:/init.scope"], ["23 1 8:1 / / rw - ext4 /dev/root rw"]
    if kind == "v2":
        _add(tree, draw, folder / "sys" / "fs cgroup", parts, 2, ("cpu", "memory"), groups, mounts)
    else:
        for controllers in draw.choice(
            [("cpu,cpuacct", "memory"), ("cpuacct,cpu", "memory"), ("memory", "cpu")]
        ):
            names = tuple(name for name in controllers.split(",") if name != "cpuacct")
            point = folder / "sys" / controllers
            _add(tree, draw, point, parts, 1, names, groups, mounts, controllers)
        if kind == "hybrid":
            groups.append("0::/" + "/".join(parts))
            mounts.append(mount_line(folder / "sys/unified", "/", "cgroup2", "nsdelegate"))
            write_files((folder / "sys/unified").joinpath(*parts), {"cgroup.procs": "1\n"})
    draw.shuffle(groups)
    write_process(tree.process, groups, mounts)
    return tree


def _add(
    tree: FakeTree, draw: random.Random, point: Path, parts: list[str], version: int, controllers: tuple[str, ...],
    groups: list[str], mounts: list[str], options: str = "nsdelegate",
) -> None:  # fmt: skip
    """Add one hierarchy. `view` is what a container shows of it."""
    view = draw.choice(["host", "container", "namespace", "outside"])
    hidden = draw.randrange(len(parts) + 1) if view == "container" else 0
    path, root, visible = "/" + "/".join(parts), "/" + "/".join(parts[:hidden]), parts[hidden:]
    if view == "namespace":
        path, root, visible = "/", "/", []
    if view == "outside":
        path, root, visible = "/../../elsewhere", draw.choice(["/", "/../.."]), []
    groups.append(f"0::{path}" if version == 2 else f"{draw.randrange(1, 20)}:{options}:{path}")
    mounts.append(mount_line(point, root, "cgroup2" if version == 2 else "cgroup", options))
    levels = [point.joinpath(*visible[:length]) for length in range(len(visible), -1, -1)]
    for folder in levels:
        folder.mkdir(parents=True, exist_ok=True)
        for controller in controllers:
            (_add_cpu if controller == "cpu" else _add_memory)(tree, draw, folder, version)
    if "memory" in controllers:
        tree.own += levels


def _add_cpu(tree: FakeTree, draw: random.Random, folder: Path, version: int) -> None:
    quota_us = draw.choice([None, None, 50_000, 150_000, 400_000])
    throttled_us = draw.choice([None, 0, 2_500_000])
    if draw.random() < 0.2:
        return
    if version == 2:
        text = (
            draw.choice(["", "max", "max 100000\n", "nonsense\n"])
            if quota_us is None
            else f"{quota_us} 100000\n"
        )
        stat = "usage_usec 9\n" + (f"throttled_usec {throttled_us}\n" if throttled_us is not None else "")
        write_files(folder, {"cpu.max": text, "cpu.stat": stat})
    else:
        quota = "-1" if quota_us is None else str(quota_us)
        stat = "nr_periods 5\n" + (
            f"throttled_time {throttled_us * 1000}\n" if throttled_us is not None else ""
        )
        write_files(folder, {"cpu.cfs_quota_us": quota, "cpu.cfs_period_us": "100000\n", "cpu.stat": stat})
    if quota_us is not None:
        tree.cores = min(tree.cores or 1e9, quota_us / 100_000)
    if throttled_us is not None:
        tree.throttled_s = (tree.throttled_s or 0.0) + throttled_us * 1e-6


def _add_memory(tree: FakeTree, draw: random.Random, folder: Path, version: int) -> None:
    limit = draw.choice([None, None, draw.randrange(64, 4096) * MIB])
    hidden = draw.choice([None, None, draw.randrange(64, 4096) * MIB]) if version == 1 else None
    if draw.random() < 0.2:
        return
    if version == 2:
        write_files(folder, {"memory.max": f"{limit or 'max'}\n"})
    else:
        stat = f"cache 1\nhierarchical_memory_limit {hidden or 9223372036854771712}\n"
        write_files(
            folder, {"memory.limit_in_bytes": f"{limit or 9223372036854771712}\n", "memory.stat": stat}
        )
    found = [value for value in (limit, hidden, tree.memory_bytes) if value]
    tree.memory_bytes = min(found, default=None)
