"""Jobs placed by the scheduler and claimed by the agent, ready for a supervisor."""

from __future__ import annotations

import time
from pathlib import Path

from engine.directory import AttemptDirectory
from jobs.agent import launch
from jobs.models import Attempt, Job
from jobs.scheduler import loop


def newest_attempt(job: Job) -> Attempt:
    """Return the newest attempt, as the agent's loop loads it."""
    return Attempt.objects.select_related("node", "job__run").filter(job=job).latest("number")


def states(job: Job) -> tuple[str, str]:
    """Return the states of the job and of its newest attempt."""
    return Job.objects.get(id=job.id).state, newest_attempt(job).state


def assign(job: Job) -> Attempt:
    """Let the scheduler place the job."""
    loop.schedule(job.pool)
    return newest_attempt(job)


def claim(job: Job, node_dir: Path) -> tuple[Attempt, AttemptDirectory]:
    """Place the job and claim its attempt; returns the attempt and its directory. No supervisor is started."""
    attempt = assign(job)
    directory = launch.prepare(attempt, node_dir, lease_until=time.time() + 60)
    assert directory is not None
    return newest_attempt(job), directory
