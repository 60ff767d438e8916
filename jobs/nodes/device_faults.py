"""Detection of faulty devices by driver faults, failing readings and held locks."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from django.db.models import Exists, OuterRef
from django.utils import timezone

from engine.supervisor.locks import holders, is_free, lock_path
from jobs.lifecycle.device_failures import RELEASE_LIMIT_S, mark_suspect
from jobs.models import Device, Lease, Node, NodeEvent
from jobs.states.nodes import DeviceHealth

READING_ERRORS_S = 30.0  # a device is suspect if all its readings fail for this long


def _hardware_faults(device: Device) -> str:
    """Return the hardware faults that the driver reported since a person last readmitted the device; '' if none."""
    found = [fault for fault in device.latest.get("faults", []) if fault["is_hardware"]]
    if not found:
        return ""
    events = NodeEvent.objects.filter(device=device, kind=f"device.{DeviceHealth.OK}").order_by("-id")
    readmitted = events.values_list("at", flat=True).first()
    since = readmitted.timestamp() if readmitted else 0.0
    newest = {fault["code"]: fault["text"] for fault in found if fault["at"] > since}
    return " ".join(newest.values())


@dataclass
class DeviceMonitor:
    """Checks the devices of one agent's node."""

    node: Node
    lock_dir: Path
    _failing_since: dict[str, float] = field(default_factory=dict)
    _freed: set[int] = field(default_factory=set)  # ended leases whose lock has been free since

    def poll(self, now_s: float) -> None:
        """Make devices suspect that have driver faults, failing readings or held locks. `now_s` is monotonic."""
        for device in Device.objects.filter(node=self.node, is_present=True, health=DeviceHealth.OK):
            if why := _hardware_faults(device) or self._failing_readings(device, now_s):
                self._mark_suspect(device.id, why)
        self._check_locks()

    def _failing_readings(self, device: Device, now_s: float) -> str:
        """Return the error if all readings of the device have failed for READING_ERRORS_S; '' otherwise."""
        missing = device.latest.get("missing", {})
        errors = [reason for status, reason in missing.values() if status == "error"]
        if device.latest.get("metrics") or not errors:
            self._failing_since.pop(device.id, None)
            return ""
        since = self._failing_since.setdefault(device.id, now_s)
        return f"All readings of the device fail: {errors[0]}" if now_s - since >= READING_ERRORS_S else ""

    def _check_locks(self) -> None:
        """Make a device suspect whose lock has stayed held for RELEASE_LIMIT_S after its lease ended.

        Such a lock is held by processes that the attempt left behind. A lock that was free in between belongs to a
        training without the queue.
        """
        held = Lease.objects.filter(device=OuterRef("device"), is_active=True)
        newer = Lease.objects.filter(device=OuterRef("device"), id__gt=OuterRef("id"))
        idle = Lease.objects.filter(
            ~Exists(held), ~Exists(newer), device__node=self.node, device__health=DeviceHealth.OK,
            is_active=False, ended_at__gt=timezone.now() - timedelta(seconds=10 * RELEASE_LIMIT_S),
        )  # fmt: skip
        for lease in idle:
            if lease.id in self._freed:
                continue
            if is_free(self.lock_dir, lease.device_id):
                self._freed.add(lease.id)
            elif lease.ended_at and timezone.now() - lease.ended_at > timedelta(seconds=RELEASE_LIMIT_S):
                pids = holders(lock_path(self.lock_dir, lease.device_id))
                who = f"pid {', '.join(map(str, pids))}" if pids else "a process that cannot be seen"
                self._mark_suspect(
                    lease.device_id,
                    f"unkillable: {who} still holds it {RELEASE_LIMIT_S:.0f} s after the attempt's end",
                )

    def _mark_suspect(self, device_id: str, reason: str) -> None:
        mark_suspect(device_id, f"agent:{self.node.name}", reason)
