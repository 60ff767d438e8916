"""Registration of this machine as a node, and its newest readings."""

from __future__ import annotations

import logging
import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from engine.telemetry.inventory import DeviceInfo, devices, node_facts
from fourwalls.system import host
from jobs.models import Device, Node
from jobs.nodes import folders, joining

log = logging.getLogger(__name__)

MIRROR_EVERY_S = 1.0


def register(node_dir: Path) -> Node:
    """Create or update the rows of this node and its devices. Missing devices are marked, never deleted.

    Raises OSError if the node's folder cannot be written, JoinError if this node may not join.
    """
    node_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = devices()
    own_id, secret = node_id(node_dir), _read_or_create(node_dir / "node_secret", 32)
    before = Node.objects.filter(id=own_id).values_list("facts", flat=True).first() or {}
    facts = node_facts() | folders.list_facts(node_dir, before)
    with transaction.atomic():
        pool = joining.admit(own_id, secret, facts)
        name = settings.NODE_NAME or str(facts.get("hostname") or "node")
        node, _ = Node.objects.update_or_create(
            id=own_id, defaults={"pool": pool, "name": name, "facts": facts, "heartbeat_at": Now()}
        )
        for device in found:
            _write_device(node, device)
        gone = node.devices.filter(is_present=True).exclude(id__in=[device.id for device in found])
        gone.update(is_present=False)
    node.refresh_from_db()
    return node


def node_id(node_dir: Path) -> str:
    """Return the node's id, created once and stored in its folder, so that a renamed machine stays the same node."""
    return _read_or_create(node_dir / "node_id", 8)


def export_machine_id(node_dir: Path) -> None:
    """Give this process and its children a machine id from the node's folder, where the system has none.

    A container's host name changes with each recreation, its volume stays. The inode number tells a copied folder.
    Raises OSError.
    """
    if not host.known_machine_id():
        path = node_dir / "machine_id"
        os.environ["FOURWALLS_MACHINE_ID"] = f"{_read_or_create(path, 16)}-{path.stat().st_ino}"


def _read_or_create(path: Path, num_bytes: int) -> str:
    """Return the hexadecimal digits in a file that only this user can read; created at random if it does not exist."""
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(num_bytes))
    return path.read_text().strip()


def mirror(node: Node, node_dir: Path, seen_at: float) -> float:
    """Copy the sampler's newest readings into the rows, if its file is newer than `seen_at` by MIRROR_EVERY_S.

    Returns the modification time of the file that the rows now reflect, which is `seen_at` for the next call.
    """
    path = node_dir / "devices.json"
    try:
        written_at = os.stat(path).st_mtime
        if written_at < seen_at + MIRROR_EVERY_S:
            return seen_at
        readings = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except FileNotFoundError:
        return seen_at
    except (OSError, msgspec.MsgspecError) as error:
        log.warning("The sampler's readings cannot be read: %s", error)
        return seen_at
    with transaction.atomic():
        for device in Device.objects.filter(node=node, is_present=True):
            latest = readings.get(device.id)
            if latest is not None:
                device.latest, device.latest_at = latest, datetime.fromtimestamp(latest["at"], UTC)
                device.save(update_fields=["latest", "latest_at"])
        Node.objects.filter(id=node.id).update(host=readings.get("host") or {})
    return written_at


def _write_device(node: Node, device: DeviceInfo) -> None:
    values: dict[str, Any] = {
        "node": node,
        "index": device.index,
        "kind": device.kind,
        "name": device.name,
        "cores": device.cores,
        "memory_bytes": device.memory_bytes,
        "is_present": True,
    }
    Device.objects.update_or_create(id=device.id, defaults=values)
