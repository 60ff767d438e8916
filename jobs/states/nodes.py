"""States of nodes and devices, with the allowed moves.

A node has two states: the one set by admins and its health. What it holds follows from its leases.
jobs.lifecycle.node_transitions makes the moves.
"""

from __future__ import annotations

from django.db.models import TextChoices


class AdminState(TextChoices):
    OPEN = "open"
    CORDONED = "cordoned"  # no new work; running attempts continue
    DRAINING = "draining"  # no new work; running attempts are to end
    DRAINED = "drained"  # no attempt runs
    MAINTENANCE = "maintenance"  # a person works on it
    RETIRED = "retired"  # removed for good; its row stays for the history of old attempts


class Health(TextChoices):
    OK = "ok"
    SUSPECT = "suspect"  # repeated faults: no new work for a while (jobs.nodes.node_faults)
    UNREACHABLE = "unreachable"  # no heartbeat: no new work; running attempts are left alone
    FAILED = "failed"  # no heartbeat for so long that its attempts are lost
    STOPPED = "stopped"  # its agent was stopped by a person or a shutdown: no new work until it starts again


class DrainPolicy(TextChoices):
    FINISH = "finish"  # wait until the jobs end
    CHECKPOINT = "checkpoint"  # jobs stop at a step boundary, return to the queue and resume elsewhere
    DEADLINE = "deadline"  # FINISH until the deadline, then CHECKPOINT


class DeviceHealth(TextChoices):
    OK = "ok"
    SUSPECT = "suspect"  # no new work until a person readmits it
    FAILED = "failed"  # marked as broken by a person; programs do not change it


READY = "ready"


def describe_node(admin_state: str, health: str, *, is_silent: bool = False) -> str:
    """The one word for the state of a node on every page: what keeps work from it, or 'ready'.

    A machine that does not answer comes before what an admin has decided, and that before a suspicion. `is_silent`:
    without a recent heartbeat, whether or not a scheduler has recorded it.
    """
    if admin_state == AdminState.RETIRED:
        return str(admin_state)
    if is_silent and health in (Health.OK, Health.SUSPECT):
        return str(Health.UNREACHABLE)
    if health in (Health.FAILED, Health.UNREACHABLE, Health.STOPPED):
        return str(health)
    if admin_state != AdminState.OPEN:
        return str(admin_state)
    return READY if health == Health.OK else str(health)


# State -> the states from which a node may enter it.
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
# States that a node may enter only while no attempt holds one of its devices.
NEEDS_NO_LEASE = (AdminState.DRAINED, AdminState.MAINTENANCE, AdminState.RETIRED)

HEALTH_MOVES: dict[str, tuple[str, ...]] = {
    Health.OK: (Health.SUSPECT, Health.UNREACHABLE, Health.FAILED, Health.STOPPED),
    Health.SUSPECT: (Health.OK, Health.UNREACHABLE),
    Health.UNREACHABLE: (Health.OK, Health.SUSPECT),
    Health.FAILED: (Health.UNREACHABLE,),
    Health.STOPPED: (Health.OK, Health.SUSPECT, Health.UNREACHABLE, Health.FAILED),
}

DEVICE_MOVES: dict[str, tuple[str, ...]] = {
    DeviceHealth.OK: (DeviceHealth.SUSPECT, DeviceHealth.FAILED),
    DeviceHealth.SUSPECT: (DeviceHealth.OK, DeviceHealth.FAILED),
    DeviceHealth.FAILED: (DeviceHealth.OK, DeviceHealth.SUSPECT),
}
