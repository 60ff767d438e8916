"""Attempts with a given time on their devices and a given use of energy."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from jobs import series
from jobs.lifecycle.transitions import move_attempt
from jobs.models import Attempt, Job
from jobs.scheduler import loop
from jobs.series import Point
from jobs.states.jobs import AttemptState


def hold_devices(job: Job, began_at: datetime) -> Attempt:
    """Place the job and let it hold its devices, and run, since `began_at`."""
    loop.schedule(job.pool)
    attempt = job.attempts.get()
    Attempt.objects.filter(id=attempt.id).update(
        assigned_at=began_at, started_at=began_at, state=AttemptState.RUNNING
    )
    attempt.refresh_from_db()
    return attempt


def add_energy(attempt: Attempt, *points: tuple[timedelta, float], devices: tuple[str, ...]) -> None:
    """Append readings of the energy counters (time after the start, joules), the same for each device."""
    begin = Attempt.objects.get(id=attempt.id).assigned_at.timestamp()
    readings = [
        Point("energy_j", f"device:{device}", None, begin + after.total_seconds(), joules)
        for after, joules in points
        for device in devices
    ]
    series.append(attempt.job.run.id, attempt.number, "device.jsonl", 0, readings)


def end_attempt(attempt: Attempt, to: str = AttemptState.FAILED, at: datetime | None = None) -> Attempt:
    assert move_attempt(attempt.id, to, actor="test", ended_at=at or timezone.now())
    attempt.refresh_from_db()
    return attempt
