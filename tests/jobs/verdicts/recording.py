"""Recorded steps of a job without real ranks: rows as ingest writes them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta

from django.utils import timezone

from jobs import series
from jobs.models import Attempt, Device, Job, Lease
from jobs.states.jobs import JobState

WORK = {"data_wait_s": 0.0, "forward_s": 0.03, "backward_s": 0.06, "communication_s": 0.002, "optimiser_s": 0.01,
        "other_s": 0.002}  # fmt: skip


def record_steps(
    job: Job,
    attempt: Attempt,
    *ranks: Mapping[str, float],
    first: int = 1,
    steps: int = 40,
    state: str = JobState.RUNNING,
    readings: Mapping[str, float] | None = None,
) -> None:
    """Steps of ranks that wait for each other, with `readings` of every device at each step."""
    own = [WORK | rank for rank in ranks]
    local = [sum(rank.values()) - rank["communication_s"] for rank in own]
    step_s = max(local) + own[0]["communication_s"]
    started = time.time() - 2 * steps * step_s
    devices = list(Device.objects.order_by("index")[: len(ranks)])
    points = []
    for step in range(first, first + steps):
        at = started + step * step_s
        points.append(series.Point("step_s", "run", step, at, step_s))
        for number, rank in enumerate(own):
            phases = rank | {"communication_s": step_s - local[number], "collective_bytes": 1e6}
            points += [series.Point(name, f"rank{number}", step, at, value) for name, value in phases.items()]
        for device in devices:
            points += [
                series.Point(name, f"device:{device.id}", None, at, value)
                for name, value in (readings or {}).items()
            ]
    series.append(job.run.id, attempt.number, f"from {first}", 0, points)
    for number, device in enumerate(devices):
        Lease.objects.get_or_create(attempt=attempt, device=device, rank=number, is_active=False)
    Attempt.objects.filter(id=attempt.id).update(
        placement={
            "seats": [
                {"rank": n, "stage": 0, "data_rank": n, "device": device.id}
                for n, device in enumerate(devices)
            ]
        }
    )
    ended = timezone.now() - timedelta(seconds=5) if state == JobState.SUCCEEDED else None
    Job.objects.filter(id=job.id).update(
        step=first + steps - 1, state=state, ended_at=ended, attempt_number=attempt.number
    )
    job.refresh_from_db()
