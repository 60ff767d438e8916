"""`manage.py agent` with CHAOS_DEVICES simulated devices, named after the node.

Everything else is the real agent. Eight devices on a small machine are possible because these ranks sleep.
"""

from __future__ import annotations

import os

import django


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dashboard.settings")
    django.setup()
    from django.core.management import call_command

    from engine.telemetry.inventory import DeviceInfo
    from jobs.nodes import inventory

    name, count = os.environ["FOURWALLS_NODE_NAME"], int(os.environ["CHAOS_DEVICES"])
    inventory.devices = lambda: [
        DeviceInfo(
            id=f"{name}-{index}",
            kind="cpu",
            index=index,
            name="chaos",
            memory_bytes=1024**3,
            cores=1.0,
        )
        for index in range(count)
    ]
    call_command("agent")


if __name__ == "__main__":
    main()
