"""Prints as JSON the final jobs, attempts and terminal events of the database. Run as a script."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import django


def job_records() -> dict[str, Any]:
    from jobs.models import Attempt, AttemptNode, Event, Job, Lease
    from jobs.states.jobs import ATTEMPT_LIVE, ATTEMPT_NODE_LIVE, FINAL, AttemptNodeState, AttemptState

    ends = [f"attempt.{state}" for state in AttemptState if state not in ATTEMPT_LIVE]
    member_ends = [f"member.{state}" for state in AttemptNodeState if state not in ATTEMPT_NODE_LIVE]
    events = Event.objects.values("job_id", "attempt_number", "kind")
    return {
        "jobs": list(Job.objects.values("id", "name", "state", "reason", "num_devices", "step", "num_steps")),
        "attempts": list(
            Attempt.objects.values(
                "job_id", "number", "state", "reason", "cause", "resumed_from", "num_nodes", "yield_reason"
            )
        ),
        "members": list(AttemptNode.objects.values("attempt__job_id", "attempt__number", "state")),
        "job_ends": list(events.filter(kind__in=[f"job.{state}" for state in FINAL])),
        "attempt_ends": list(events.filter(kind__in=ends)),
        "member_ends": list(events.filter(kind__in=member_ends)),
        "lock_waits": Event.objects.filter(kind="note.info", text__startswith="Waited").count(),
        "active_leases": Lease.objects.filter(is_active=True).count(),
    }


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dashboard.settings")
    django.setup()
    json.dump(job_records(), sys.stdout)
