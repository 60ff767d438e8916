"""Address at which other nodes reach this one."""

from __future__ import annotations

import socket

from django.conf import settings


def get_node_address() -> str:
    """Return FOURWALLS_NODE_ADDRESS, or the address of the default route's interface if it is not set."""
    if settings.NODE_ADDRESS:
        return str(settings.NODE_ADDRESS)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(
                ("192.0.2.1", 9)
            )  # a documentation address (RFC 5737); connecting a UDP socket sends nothing
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"
