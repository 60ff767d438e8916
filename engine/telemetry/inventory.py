"""Inventory of the machine: devices and host facts."""

from __future__ import annotations

import platform
import socket
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fourwalls.system import host
from fourwalls.system.readings import DeviceInfo
from fourwalls.system.sources import open_source

__all__ = ["DeviceInfo", "devices", "node_facts"]


def devices() -> list[DeviceInfo]:
    """NVIDIA GPUs by UUID; on a machine without GPUs, its cores in FOURWALLS_CPU_DEVICES shares (default 2)."""
    source, _ = open_source()
    try:
        return source.devices()
    finally:
        source.close()


def node_facts() -> dict[str, Any]:
    """Facts of the host in plain values. Versions come from package metadata, so that torch is not imported."""
    source, driver = open_source()
    source.close()
    return {
        "hostname": socket.gethostname(),
        "machine_id": host.machine_id(),
        "boot_id": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        "kernel": platform.release(),
        "cpu": host.cpu_name(),
        "cores": host.cores(),
        "memory_bytes": host.memory_bytes(),
        "python": platform.python_version(),
        "torch": _version("torch"),
        "deepspeed": _version("deepspeed"),
    } | driver


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
