"""The address by which other nodes reach this one."""

from __future__ import annotations

import socket

from django.conf import settings


def get_node_address() -> str:
    """FOURWALLS_NODE_ADDRESS, else the address of the interface that the default route leads through."""
    if settings.NODE_ADDRESS:
        return str(settings.NODE_ADDRESS)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # kept for documentation (RFC 5737); UDP sends nothing here
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"
