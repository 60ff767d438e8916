"""Registration of this machine, and its readings from the sampler."""

from __future__ import annotations

import json
import os

import pytest

from fourwalls.system.readings import DeviceInfo
from jobs.models import Device, Node
from jobs.nodes import inventory

pytestmark = pytest.mark.django_db


def cpu(index: int) -> DeviceInfo:
    return DeviceInfo(id=f"cpu-x-{index}", kind="cpu", index=index, name="CPU", memory_bytes=1024, cores=1.0)


@pytest.fixture
def machine(monkeypatch):
    """The devices of this machine; change the list to change the machine."""
    found = [cpu(0), cpu(1)]
    monkeypatch.setattr(inventory, "devices", lambda: found)
    monkeypatch.setattr(inventory, "node_facts", lambda: {"hostname": "host-1", "cores": 2.0})
    return found


def test_a_machine_becomes_a_node_with_its_devices(machine, settings):
    node = inventory.register(settings.NODE_DIR)
    assert (node.name, node.pool.name, node.facts["cores"]) == ("host-1", "default", 2.0)
    assert node.heartbeat_at is not None
    assert list(node.devices.values_list("id", "index", "cores")) == [
        ("cpu-x-0", 0, 1.0),
        ("cpu-x-1", 1, 1.0),
    ]


def test_a_second_start_is_the_same_node_even_under_another_name(machine, settings):
    first = inventory.register(settings.NODE_DIR)
    settings.NODE_NAME, settings.NODE_POOL = "renamed", "gpus"
    second = inventory.register(settings.NODE_DIR)
    assert first.id == second.id
    assert (second.name, second.pool.name) == ("renamed", "gpus")
    assert Node.objects.count() == 1


def test_a_device_that_has_gone_is_marked_and_comes_back(machine, settings):
    inventory.register(settings.NODE_DIR)
    gone = machine.pop()
    inventory.register(settings.NODE_DIR)
    assert not Device.objects.get(id=gone.id).is_present
    machine.append(gone)
    inventory.register(settings.NODE_DIR)
    assert Device.objects.get(id=gone.id).is_present


def test_a_cordon_outlives_a_restart_of_the_agent(machine, settings):
    inventory.register(settings.NODE_DIR)
    Node.objects.update(admin_state="cordoned")
    assert inventory.register(settings.NODE_DIR).is_cordoned


def test_the_newest_readings_are_mirrored_at_most_once_a_second(machine, settings):
    node = inventory.register(settings.NODE_DIR)
    path = settings.NODE_DIR / "devices.json"
    latest = {"metrics": {"utilisation_pct": 50.0}, "missing": {"power_w": ["absent", "-"]}, "at": 1000.0}
    path.write_text(json.dumps({"cpu-x-0": latest, "unknown": latest, "host": {"cpu_pct": 9.0}}))
    seen = inventory.mirror(node, settings.NODE_DIR, 0.0)
    device = Device.objects.get(id="cpu-x-0")
    assert (device.latest, device.latest_at.timestamp()) == (latest, 1000.0)
    assert Device.objects.get(id="cpu-x-1").latest_at is None
    assert Node.objects.get().host == {"cpu_pct": 9.0}
    Device.objects.update(latest={})
    os.utime(path, (seen + 0.5, seen + 0.5))
    assert inventory.mirror(node, settings.NODE_DIR, seen) == seen
    assert Device.objects.get(id="cpu-x-0").latest == {}
    os.utime(path, (seen + 1.5, seen + 1.5))
    inventory.mirror(node, settings.NODE_DIR, seen)
    assert Device.objects.get(id="cpu-x-0").latest == latest


@pytest.mark.parametrize("content", [None, b"{", b"[]"])
def test_readings_that_cannot_be_read_change_nothing(machine, settings, content):
    node = inventory.register(settings.NODE_DIR)
    if content is not None:
        (settings.NODE_DIR / "devices.json").write_bytes(content)
    assert inventory.mirror(node, settings.NODE_DIR, 0.0) == 0.0
    assert Node.objects.get().host == {}
