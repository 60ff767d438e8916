"""States of nodes and devices, the moves that are allowed, and one function for each kind.

A node stands on two axes: what an admin wants of it, and how it is. What it holds is derived from its leases.
"""

from __future__ import annotations

from django.db.models import TextChoices


class AdminState(TextChoices):
    OPEN = "open"
    CORDONED = "cordoned"  # no new work; what runs goes on
    DRAINING = "draining"  # no new work, and what runs shall end
    DRAINED = "drained"  # nothing runs any more
    MAINTENANCE = "maintenance"  # somebody works on it
    RETIRED = "retired"  # gone for good; its rows tell the story of old attempts


class Health(TextChoices):
    OK = "ok"
    SUSPECT = "suspect"  # something went wrong here more than once: no new work for a while (jobs.nodes.node_faults)
    UNREACHABLE = "unreachable"  # silent: no new work, what it runs is left alone
    FAILED = "failed"  # silent for so long that its work was given to others


class DrainPolicy(TextChoices):
    FINISH = "finish"  # jobs end by themselves
    CHECKPOINT = "checkpoint"  # jobs stop at a step border, wait again and resume elsewhere
    DEADLINE = "deadline"  # finish until the deadline, then checkpoint


class DeviceHealth(TextChoices):
    OK = "ok"
    SUSPECT = "suspect"  # no new work until a person readmits it
    FAILED = "failed"  # a person has found it broken; no program changes that


# From where each state may be entered.
ADMIN_MOVES: dict[str, tuple[str, ...]] = {
    AdminState.OPEN: (
        AdminState.CORDONED,
        AdminState.DRAINING,
        AdminState.DRAINED,
        AdminState.MAINTENANCE,
    ),
    AdminState.CORDONED: (AdminState.OPEN, AdminState.DRAINING, AdminState.DRAINED, AdminState.MAINTENANCE),
    AdminState.DRAINING: (AdminState.OPEN, AdminState.CORDONED),
    AdminState.DRAINED: (AdminState.DRAINING,),
    AdminState.MAINTENANCE: (AdminState.OPEN, AdminState.CORDONED, AdminState.DRAINED),
    AdminState.RETIRED: (
        AdminState.OPEN,
        AdminState.CORDONED,
        AdminState.DRAINED,
        AdminState.MAINTENANCE,
    ),
}
# These may be entered only while no attempt holds a device of the node.
NEEDS_NO_LEASE = (AdminState.DRAINED, AdminState.MAINTENANCE, AdminState.RETIRED)

HEALTH_MOVES: dict[str, tuple[str, ...]] = {
    Health.OK: (Health.SUSPECT, Health.UNREACHABLE, Health.FAILED),
    Health.SUSPECT: (Health.OK, Health.UNREACHABLE),
    Health.UNREACHABLE: (Health.OK, Health.SUSPECT),
    Health.FAILED: (Health.UNREACHABLE,),
}

DEVICE_MOVES: dict[str, tuple[str, ...]] = {
    DeviceHealth.OK: (DeviceHealth.SUSPECT, DeviceHealth.FAILED),
    DeviceHealth.SUSPECT: (DeviceHealth.OK, DeviceHealth.FAILED),
    DeviceHealth.FAILED: (DeviceHealth.OK, DeviceHealth.SUSPECT),
}
