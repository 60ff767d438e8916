"""Every table, one file per noun."""

from jobs.models.cluster import Device, Node, Pool
from jobs.models.people import ApiToken, LoginLink, Membership, Team
from jobs.models.runs import Run
from jobs.models.work import Attempt, Event, Job, Lease, SpoolOffset

__all__ = [
    "ApiToken",
    "Attempt",
    "Device",
    "Event",
    "Job",
    "Lease",
    "LoginLink",
    "Membership",
    "Node",
    "Pool",
    "Run",
    "SpoolOffset",
    "Team",
]
