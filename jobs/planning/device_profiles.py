"""What devices can do: which ones are to be probed, and what probes of them have found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from engine.hardware.probe_results import ProbeReport
from jobs.models import Device, DeviceProfile, Node, NodeEvent
from jobs.states.jobs import StateError
from jobs.states.nodes import AdminState, DeviceHealth

FAILURE_LIMIT = 300
# Somebody works on these; nothing may run there.
CLOSED = (AdminState.MAINTENANCE, AdminState.RETIRED)


@dataclass(frozen=True)
class Kind:
    """Devices of one node that share a profile, and the newest one that there is."""

    devices: tuple[Device, ...]
    profile: DeviceProfile | None

    @property
    def wanted_by(self) -> str:
        return next((device.probe_wanted_by for device in self.devices if device.probe_wanted_by), "")

    @property
    def failure(self) -> str:
        return next((device.probe_failure for device in self.devices if device.probe_failure), "")


def due(node: Node, torch: str, tried: Iterable[str], is_long_idle: bool) -> Device | None:
    """The device that the node's agent probes next: one that somebody asks for, else, on a node that has been idle for
    long enough, the first whose like has no profile under this torch."""
    if Node.objects.filter(id=node.id, admin_state__in=CLOSED).exists():
        return None
    devices = _usable(node)
    asked = next((device for device in devices if device.probe_wanted_by), None)
    if asked is not None or not is_long_idle:
        return asked
    passed = set(tried)
    for device in devices:
        if device.id not in passed and not _profiles(device).filter(torch=torch).exists():
            return device
    return None


def is_wanted(node: Node) -> bool:
    """Whether somebody has asked for a probe of one of its devices."""
    return Device.objects.filter(node=node, is_present=True).exclude(probe_wanted_by="").exists()


def ask(node: Node, actor: str) -> list[Device]:
    """Have one device of each kind probed anew, as soon as the node is idle. Raises StateError."""
    if node.admin_state in CLOSED:
        raise StateError(f"Node {node.name} is in {node.admin_state}; nothing may run on it.")
    firsts = [kind.devices[0] for kind in of_node(node)]
    if not firsts:
        raise StateError(f"Node {node.name} has no usable device.")
    with transaction.atomic():
        for device in firsts:
            Device.objects.filter(id=device.id).update(probe_wanted_by=actor, probe_failure="")
            text = f"Device {device.index} is to be probed anew, once the node is idle."
            NodeEvent.objects.create(
                node=node, device=device, actor=actor, kind="node.probe_wanted", text=text
            )
    return firsts


@transaction.atomic
def store(device: Device, probed: ProbeReport) -> DeviceProfile:
    """What a probe found, in the place of what an earlier one did."""
    key: dict[str, Any] = {
        "name": device.name, "kind": device.kind, "cores": device.cores, "torch": probed.torch,
    }  # fmt: skip
    found: dict[str, Any] = {
        "figures": msgspec.to_builtins(probed.figures),
        "missing": msgspec.to_builtins(probed.missing),
        "curves": msgspec.to_builtins(probed.curves),
        "took_s": probed.took_s,
        "node_id": device.node_id,
        "device": device.id,
        "measured_at": timezone.now(),
    }
    profile, _ = DeviceProfile.objects.update_or_create(**key, defaults=found)
    Device.objects.filter(id=device.id).update(probe_wanted_by="", probe_failure="")
    text = f"Device {device.index} was probed in {probed.took_s:.0f} s."
    NodeEvent.objects.create(
        node_id=device.node_id, device=device, actor="agent", kind="node.probed", text=text
    )
    return profile


def fail(device: Device, reason: str) -> None:
    """A probe that came to nothing; it is not tried again by itself while the agent lives."""
    Device.objects.filter(id=device.id).update(probe_wanted_by="", probe_failure=reason[:FAILURE_LIMIT])


def of_device(device: Device) -> DeviceProfile | None:
    """The newest profile of its like, under whatever torch."""
    return _profiles(device).first()


def of_node(node: Node) -> list[Kind]:
    """The node's usable devices, those that are alike together."""
    found: dict[tuple[Any, ...], list[Device]] = {}
    for device in _usable(node):
        found.setdefault((device.name, device.kind, device.cores), []).append(device)
    return [Kind(tuple(devices), of_device(devices[0])) for devices in found.values()]


def to_json(profile: DeviceProfile) -> dict[str, Any]:
    columns = ("name", "kind", "cores", "torch", "figures", "missing", "curves", "took_s", "device")
    return {column: getattr(profile, column) for column in columns} | {
        "node": profile.node_id,
        "measured_at": profile.measured_at.isoformat(),
        "standing": "measured",
    }


def said_cores(cores: float) -> str:
    return f"{cores:g} core{'' if cores == 1 else 's'}"


def _usable(node: Node) -> list[Device]:
    rows = Device.objects.filter(node=node, is_present=True).exclude(health=DeviceHealth.FAILED)
    return list(rows.order_by("index"))


def _profiles(device: Device) -> Any:
    alike = Q(cores=device.cores) if device.cores is not None else Q(cores__isnull=True)
    return DeviceProfile.objects.filter(alike, name=device.name, kind=device.kind)
