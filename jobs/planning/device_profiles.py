"""Probe requests and results of devices."""

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
# Nothing may run on a node in these states.
CLOSED_STATES = (AdminState.MAINTENANCE, AdminState.RETIRED)


@dataclass(frozen=True)
class DeviceKind:
    """Devices of one node that share a profile, and the newest profile."""

    devices: tuple[Device, ...]
    profile: DeviceProfile | None

    @property
    def wanted_by(self) -> str:
        return next((device.probe_wanted_by for device in self.devices if device.probe_wanted_by), "")

    @property
    def failure(self) -> str:
        return next((device.probe_failure for device in self.devices if device.probe_failure), "")


def next_to_probe(node: Node, torch: str, tried: Iterable[str], is_long_idle: bool) -> Device | None:
    """Return the device that the node's agent probes next: a requested one, else, on a node that is idle for long
    enough, the first whose kind has no profile under this torch version."""
    if Node.objects.filter(id=node.id, admin_state__in=CLOSED_STATES).exists():
        return None
    devices = _usable(node)
    requested = next((device for device in devices if device.probe_wanted_by), None)
    if requested is not None or not is_long_idle:
        return requested
    passed = set(tried)
    for device in devices:
        if device.id not in passed and not _profiles(device).filter(torch=torch).exists():
            return device
    return None


def is_probe_requested(node: Node) -> bool:
    """Whether a probe of one of the node's devices is requested."""
    return Device.objects.filter(node=node, is_present=True).exclude(probe_wanted_by="").exists()


def request_probe(node: Node, actor: str) -> list[Device]:
    """Request a probe of one device of each kind, made as soon as the node is idle. Raises StateError."""
    if node.admin_state in CLOSED_STATES:
        raise StateError(f"Node {node.name} is in {node.admin_state}; nothing may run on it.")
    firsts = [kind.devices[0] for kind in get_device_kinds(node)]
    if not firsts:
        raise StateError(f"Node {node.name} has no usable device.")
    with transaction.atomic():
        for device in firsts:
            Device.objects.filter(id=device.id).update(probe_wanted_by=actor, probe_failure="")
            text = f"Device {device.index} will be probed again when the node is idle."
            NodeEvent.objects.create(
                node=node, device=device, actor=actor, kind="node.probe_wanted", text=text
            )
    return firsts


@transaction.atomic
def store_probe(device: Device, report: ProbeReport) -> DeviceProfile:
    """Store a probe's result in place of an earlier one."""
    key: dict[str, Any] = {
        "name": device.name, "kind": device.kind, "cores": device.cores, "torch": report.torch,
    }  # fmt: skip
    found: dict[str, Any] = {
        "figures": msgspec.to_builtins(report.figures),
        "missing": msgspec.to_builtins(report.missing),
        "curves": msgspec.to_builtins(report.curves),
        "took_s": report.took_s,
        "node_id": device.node_id,
        "device": device.id,
        "measured_at": timezone.now(),
    }
    profile, _ = DeviceProfile.objects.update_or_create(**key, defaults=found)
    Device.objects.filter(id=device.id).update(probe_wanted_by="", probe_failure="")
    text = f"Device {device.index} was probed in {report.took_s:.0f} s."
    NodeEvent.objects.create(
        node_id=device.node_id, device=device, actor="agent", kind="node.probed", text=text
    )
    return profile


def record_probe_failure(device: Device, reason: str) -> None:
    """Record a failed probe. The agent does not repeat it unless it is requested or the agent restarts."""
    Device.objects.filter(id=device.id).update(probe_wanted_by="", probe_failure=reason[:FAILURE_LIMIT])


def get_profile(device: Device) -> DeviceProfile | None:
    """Return the newest profile of the device's kind under any torch version."""
    return _profiles(device).first()


def get_device_kinds(node: Node) -> list[DeviceKind]:
    """Group the node's usable devices by kind."""
    found: dict[tuple[Any, ...], list[Device]] = {}
    for device in _usable(node):
        found.setdefault((device.name, device.kind, device.cores), []).append(device)
    return [DeviceKind(tuple(devices), get_profile(devices[0])) for devices in found.values()]


def serialize(profile: DeviceProfile) -> dict[str, Any]:
    columns = ("name", "kind", "cores", "torch", "figures", "missing", "curves", "took_s", "device")
    return {column: getattr(profile, column) for column in columns} | {
        "node": profile.node_id,
        "measured_at": profile.measured_at.isoformat(),
        "standing": "measured",
    }


def cores_text(cores: float) -> str:
    return f"{cores:g} core{'' if cores == 1 else 's'}"


def _usable(node: Node) -> list[Device]:
    rows = Device.objects.filter(node=node, is_present=True).exclude(health=DeviceHealth.FAILED)
    return list(rows.order_by("index"))


def _profiles(device: Device) -> Any:
    same_cores = Q(cores=device.cores) if device.cores is not None else Q(cores__isnull=True)
    return DeviceProfile.objects.filter(same_cores, name=device.name, kind=device.kind)
