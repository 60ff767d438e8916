"""Device failures as texts: reasons of failed attempts and faults of drivers."""

from __future__ import annotations

import re

from fourwalls.system.faults import XIDS

# Messages of a rank whose device failed. Running out of memory is the job's fault and not listed.
_HELD = re.compile(r"device (\S+) is still held")
_FAULT = re.compile(
    r"CUDA error|cudaError|uncorrectable|\bECC\b|\bXid\b|fallen off the bus|GPU is lost|unhandled cuda error"
    r"|unspecified launch failure|hardware error",
    re.IGNORECASE,
)
_RANK = re.compile(r"\brank (\d+)\b")
_XID = re.compile(r"\bXid (\d+):")
_HARDWARE = re.compile(r"that ECC could not correct|no spare rows left")


def find_held_device(reason: str) -> str | None:
    """The device that processes of an earlier attempt held, by the reason of the attempt that failed."""
    found = _HELD.search(reason)
    return found[1] if found else None


def find_failed_rank(reason: str) -> int | None:
    """The rank whose device failed, by the reason of the attempt that failed."""
    rank = _RANK.search(reason)
    return int(rank[1]) if rank and _FAULT.search(reason) else None


def is_hardware_fault(text: str) -> bool:
    """Whether a fault that a driver reported takes the device out of use, by the text of its note."""
    xid = _XID.search(text)
    if xid:
        return XIDS.get(int(xid[1]), ("", False))[1]
    return bool(_HARDWARE.search(text))


def describe_failures(device: str, reason: str) -> str:
    """The sentence of a verdict about a device that an attempt failed on."""
    return f"Device {device} is suspected: {reason}"
