"""Preferred nodes and waiting reasons that follow from a checkpoint's location."""

from __future__ import annotations

from django.db.models import QuerySet

from jobs.attempts import locations
from jobs.attempts.locations import Location
from jobs.models import Job
from jobs.scheduler.policy.reasons import WaitingReason

Locality = Location | None  # None: the job continues from no checkpoint


def find_localities(jobs: QuerySet[Job]) -> dict[str, Location]:
    """Return job -> location of the checkpoint that it continues from. A constant number of queries."""
    return locations.locate(jobs)


def list_homes(location: Locality, preferred: str | None) -> tuple[str, ...]:
    """Return the nodes on which the job should start, best first: where a drain said, then where its files lie."""
    holders = [holder.id for holder in location.reachable] if location else []
    return tuple(dict.fromkeys([*([preferred] if preferred else []), *holders]))


def waiting_reason(location: Locality) -> WaitingReason | None:
    """Return why the job cannot continue on any node; None if it can. Nothing restarts from step 0 by itself."""
    if location is None:
        return None
    if location.checkpoint is None:
        return WaitingReason("CHECKPOINT_LOST", {"is_start": location.is_start})
    values = {"step": location.step, "is_start": location.is_start}
    if location.failure:
        return WaitingReason("CHECKPOINT_FAILED", values | {"why": location.failure})
    if location.is_reachable:
        return None
    first = location.holders[0]
    return WaitingReason("CHECKPOINT_AWAY", values | {"node": first.name, "why": first.away})
