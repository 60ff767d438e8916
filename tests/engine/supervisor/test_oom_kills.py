"""Out-of-memory kills by the kernel's counts, in generated control groups of both versions."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from engine.directory import RankExit
from engine.supervisor.oom_kills import NOT_KNOWN, OomWatch
from engine.supervisor.root_cause import UnexpectedExit, describe_failure
from tests.engine.telemetry.fake_cgroups import MIB, generate, mount_line, write_files, write_process

RANK = RankExit(3, 77)


class FakeMachine:
    """A rank in nested groups, whose counts a test sets."""

    def __init__(self, folder: Path, version: int, depth: int) -> None:
        self.proc, self.version, parts = folder / "proc", version, ["jobs", "fourwalls.scope", "rank"][:depth]
        point, path = folder / "cgroup", "/" + "/".join(parts)
        group = f"0::{path}" if version == 2 else f"4:memory:{path}"
        kind, options = ("cgroup2", "nsdelegate") if version == 2 else ("cgroup", "memory")
        write_process(self.proc / "77", [group], [mount_line(point, "/", kind, options)])
        self.levels = [point.joinpath(*parts[:length]) for length in range(depth, -1, -1)]
        self.set_counts(0, 0, 0)

    def set_counts(self, kills: int, limited_level: int, hits: int, machine: int = 0) -> None:
        """A kill counts at the own level (version 1), or at all levels (2); a hit from the limited level upwards."""
        for number, folder in enumerate(self.levels):
            is_hit = number == limited_level if self.version == 1 else number >= limited_level
            limit = 256 * MIB if number == limited_level else None
            if self.version == 2:
                events = f"low 0\nhigh 0\nmax 5\noom {hits if is_hit else 0}\noom_kill {kills}\n"
                write_files(folder, {"memory.events": events, "memory.max": f"{limit or 'max'}\n"})
            else:
                control = f"oom_kill_disable 0\nunder_oom 0\noom_kill {0 if number else kills}\n"
                failures, size = str(hits if is_hit else 0), f"{limit or 9223372036854771712}\n"
                write_files(
                    folder,
                    {
                        "memory.oom_control": control,
                        "memory.failcnt": failures,
                        "memory.limit_in_bytes": size,
                    },
                )
        write_files(self.proc, {"vmstat": f"nr_free_pages 1\noom_kill {machine}\n"})


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_a_kill_that_the_kernel_counts_names_the_group_and_its_limit(
    version: int, depth: int, tmp_path: Path
) -> None:
    for level in range(depth + 1):
        machine = FakeMachine(tmp_path / str(level), version, depth)
        machine.set_counts(2, level, 7)
        watch = OomWatch(machine.proc)
        watch.update([RANK])
        machine.set_counts(3, level, 8, machine=1)
        text = watch.explain_kill(3)
        name = "/" + "/".join(["jobs", "fourwalls.scope", "rank"][:depth])
        assert text.startswith(
            f": out of memory; the kernel counts one out-of-memory kill in the control group {name}"
        )
        assert "0.25 GiB" in text and "by hand" not in text


@pytest.mark.parametrize("version", [1, 2])
def test_a_kill_that_the_kernel_does_not_count_was_by_hand(version: int, tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path, version, 2)
    machine.set_counts(5, 0, 9)
    watch = OomWatch(machine.proc)
    watch.update([RANK])
    text = watch.explain_kill(3)
    assert "by hand or by another program" in text and "out of memory" not in text


@pytest.mark.parametrize("version", [1, 2])
def test_a_full_machine_is_not_blamed_on_the_limit_of_the_group(version: int, tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path, version, 2)
    watch = OomWatch(machine.proc)
    watch.update([RANK])
    machine.set_counts(1, 0, 0, machine=1)
    assert "no limit that is visible here was reached" in watch.explain_kill(3)


def test_without_counts_of_groups_the_count_of_the_machine_decides(tmp_path: Path) -> None:
    write_files(tmp_path, {"vmstat": "oom_kill 4\n"})
    watch = OomWatch(tmp_path)
    watch.update([RANK])
    assert watch.explain_kill(3) == NOT_KNOWN
    write_files(tmp_path, {"vmstat": "oom_kill 5\n"})
    assert "probably out of memory: the kernel counts 1 such kills" in watch.explain_kill(3)


def test_a_rank_moved_to_another_group_is_judged_by_that_group(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path, 2, 3)
    watch = OomWatch(machine.proc)
    write_process(
        machine.proc / "77", ["0::/jobs"], [mount_line(tmp_path / "cgroup", "/", "cgroup2", "nsdelegate")]
    )
    watch.update([RANK])
    machine.set_counts(1, 2, 1)
    assert "in the control group /jobs, whose limit is 0.25 GiB" in watch.explain_kill(3)


def test_no_generated_tree_breaks_the_sentence(tmp_path: Path) -> None:
    for seed in range(200):
        tree = generate(tmp_path / str(seed), seed)
        proc = tmp_path / str(seed) / "processes"
        proc.mkdir()
        (proc / "77").symlink_to(tree.process)
        watch = OomWatch(proc)
        watch.update([RANK])
        draw = random.Random(seed)
        for folder in tree.own:
            if draw.random() < 0.5:
                write_files(folder, {"memory.events": draw.choice(["oom_kill 1\n", "oom_kill x\n", ""])})
        text = describe_failure(UnexpectedExit(3, -9, 0.0), (), watch.explain_kill)
        assert text.startswith("rank 3 was killed by SIGKILL") and "None" not in text
