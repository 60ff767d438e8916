"""Limits of control groups over generated trees of both versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from fourwalls.system import cgroup, host
from tests.engine.telemetry.fake_cgroups import MIB, generate, mount_line, write_files, write_process

CASES = 300


@pytest.mark.parametrize("block", range(10))
def test_the_smallest_limit_of_a_group_and_its_ancestors_counts(tmp_path: Path, block: int) -> None:
    for seed in range(block * CASES // 10, (block + 1) * CASES // 10):
        tree = generate(tmp_path / str(seed), seed)
        assert cgroup.cores(tree.process) == tree.cores, seed
        assert cgroup.memory_limit_bytes(tree.process) == tree.memory_bytes, seed
        assert cgroup.throttled_s(tree.process) == pytest.approx(tree.throttled_s), seed
        folders = [group.folder for group in cgroup.find_groups("memory", tree.process)]
        assert [folder for folder in folders if folder in tree.own] == tree.own, seed


def test_the_generated_trees_have_every_kind_of_limit(tmp_path: Path) -> None:
    trees = [generate(tmp_path / str(seed), seed) for seed in range(CASES)]
    for name in ("cores", "memory_bytes", "throttled_s"):
        values = [getattr(tree, name) for tree in trees]
        assert 50 < sum(value is None for value in values) < 250, name
    assert max(len(tree.own) for tree in trees) == 5


def test_a_service_in_a_slice_has_the_limit_of_the_slice(tmp_path: Path) -> None:
    point = tmp_path / "cgroup"
    write_process(
        tmp_path / "proc", ["0::/a.slice/b.service"], [mount_line(point, "/", "cgroup2", "nsdelegate")]
    )
    write_files(point / "a.slice", {"memory.max": str(512 * MIB), "cpu.max": "150000 100000"})
    write_files(point / "a.slice/b.service", {"memory.max": "max\n", "cpu.max": "max 100000\n"})
    assert (cgroup.memory_limit_bytes(tmp_path / "proc"), cgroup.cores(tmp_path / "proc")) == (512 * MIB, 1.5)


def test_a_removed_group_has_the_limit_of_what_is_left_of_its_path(tmp_path: Path) -> None:
    point = tmp_path / "cgroup"
    line = mount_line(point, "/", "cgroup2", "nsdelegate")
    write_process(tmp_path / "proc", ["0::/a.slice/gone.scope (deleted)"], [line])
    write_files(point / "a.slice", {"memory.max": str(512 * MIB)})
    assert cgroup.memory_limit_bytes(tmp_path / "proc") == 512 * MIB


def test_a_machine_without_control_groups_has_no_limit(tmp_path: Path) -> None:
    assert cgroup.find_groups("memory", tmp_path) == []
    assert (cgroup.memory_limit_bytes(tmp_path), cgroup.cores(tmp_path), cgroup.throttled_s(tmp_path)) == (
        None,
    ) * 3


def test_devices_have_no_more_than_the_limits_of_their_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "memory_limit_bytes", lambda: 96 * MIB)
    monkeypatch.setattr(cgroup, "cores", lambda: 0.5)
    assert (host.memory_bytes(), host.cores()) == (96 * MIB, 0.5)
