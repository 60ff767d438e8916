"""Plays attempts that have held devices for so long and used so much, through the door that books them."""

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
    """The job on its devices since a moment; its ranks have run since then too."""
    loop.schedule(job.pool)
    attempt = job.attempts.get()
    Attempt.objects.filter(id=attempt.id).update(
        assigned_at=began_at, started_at=began_at, state=AttemptState.RUNNING
    )
    attempt.refresh_from_db()
    return attempt


def add_energy(attempt: Attempt, *points: tuple[timedelta, float], devices: tuple[str, ...]) -> None:
    """What the devices' counters said so long after the begin, in joules; each device the same."""
    begin = Attempt.objects.get(id=attempt.id).assigned_at.timestamp()
    said = [
        Point("energy_j", f"device:{device}", None, begin + after.total_seconds(), joules)
        for after, joules in points
        for device in devices
    ]
    series.append(attempt.job.run.id, attempt.number, "device.jsonl", 0, said)


def end_attempt(attempt: Attempt, to: str = AttemptState.FAILED, at: datetime | None = None) -> Attempt:
    assert move_attempt(attempt.id, to, actor="test", ended_at=at or timezone.now())
    attempt.refresh_from_db()
    return attempt
