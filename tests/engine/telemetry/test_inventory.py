"""Inventory of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import msgspec

from engine.telemetry import inventory


def test_this_machine_has_devices_of_one_kind_with_ids_of_their_own() -> None:
    devices = inventory.devices()
    assert devices and len({device.id for device in devices}) == len(devices)
    assert len({device.kind for device in devices}) == 1
    assert [device.index for device in devices] == list(range(len(devices)))
    assert all(device.memory_bytes and device.name for device in devices)


def test_the_facts_are_plain_values_that_name_the_host() -> None:
    facts = json.loads(msgspec.json.encode(inventory.node_facts()))
    assert facts["hostname"] == os.uname().nodename and facts["kernel"] == os.uname().release
    assert facts["cores"] > 0 and facts["memory_bytes"] > 0 and len(facts["boot_id"]) == 36
    assert ("driver" in facts) != ("driver_absent" in facts)


def test_the_inventory_imports_nothing_heavy() -> None:
    code = (
        "import sys; from engine.telemetry import inventory, sampler; inventory.node_facts(); "
        "print([m for m in ('torch', 'deepspeed', 'django', 'celery', 'numpy') if m in sys.modules])"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert output.strip() == "[]"
