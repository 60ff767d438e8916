"""Machine id of a node where the system has none: recreated, renamed and copied containers."""

from __future__ import annotations

import os
import random
import shutil
import socket

import pytest

from fourwalls.system import cpu, host
from jobs.nodes import inventory

SEED = 12
CASES = range(40)


@pytest.fixture
def container(monkeypatch, tmp_path):
    """Start of the agent in a container without a machine id: (host name, folder of the node) -> ids of its devices."""
    known = host.known_machine_id
    monkeypatch.setattr(host, "known_machine_id", lambda: known(tmp_path / "machine-id"))

    def start(name: str, folder) -> list[str]:
        folder.mkdir(exist_ok=True)
        monkeypatch.delenv("FOURWALLS_MACHINE_ID", raising=False)
        monkeypatch.setattr(socket, "gethostname", lambda: name)
        inventory.export_machine_id(folder)
        ids = [device.id for device in cpu.cpu_devices(2)]
        monkeypatch.delenv("FOURWALLS_MACHINE_ID", raising=False)
        return ids

    return start


def random_name(source: random.Random) -> str:
    return f"{source.getrandbits(48):012x}"


@pytest.mark.parametrize("case", CASES)
def test_a_recreated_container_has_the_same_devices_and_a_copied_folder_others(case, container, tmp_path):
    source = random.Random(SEED + case)
    first = container(random_name(source), tmp_path / "node")
    for _ in range(source.randint(1, 4)):
        name = random_name(source) if source.random() < 0.8 else "localhost"
        assert container(name, tmp_path / "node") == first
    copy = shutil.copytree(tmp_path / "node", tmp_path / "copy")
    assert set(container(random_name(source), copy)).isdisjoint(first)
    assert set(container(random_name(source), tmp_path / "other")).isdisjoint(first)


@pytest.mark.parametrize("written", ["", "\n", "uninitialized\n"])
def test_an_empty_machine_id_of_an_image_is_none(written, container, tmp_path):
    (tmp_path / "machine-id").write_text(written)
    assert container("a", tmp_path / "node") == container("b", tmp_path / "node")
    assert (tmp_path / "node" / "machine_id").stat().st_mode & 0o777 == 0o600


def test_the_id_of_the_system_is_used_where_there_is_one(container, tmp_path):
    (tmp_path / "machine-id").write_text("5f0c\n")
    first = container("a", tmp_path / "node")
    assert container("b", tmp_path / "copy") == first
    assert list(tmp_path.glob("*/machine_id")) == []


def test_an_id_from_the_environment_is_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("FOURWALLS_MACHINE_ID", "mine")
    inventory.export_machine_id(tmp_path)
    assert os.environ["FOURWALLS_MACHINE_ID"] == "mine" and list(tmp_path.iterdir()) == []
