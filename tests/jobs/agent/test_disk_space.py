"""Attempts whose checkpoints will not fit on the disk of their node."""

from __future__ import annotations

import random

import pytest

from engine import planner
from engine.spec.spec import parse
from jobs.agent import disk_space
from jobs.models import Job
from jobs.states.jobs import AttemptState, Cause, JobState
from jobs.states.nodes import Health
from tests.jobs.placed_jobs import assign, newest_attempt, states

pytestmark = pytest.mark.django_db

RESERVE = 1_000_000


@pytest.fixture
def disk(monkeypatch, settings):
    settings.DISK_RESERVE_BYTES = RESERVE
    free = {}
    monkeypatch.setattr(disk_space, "free_bytes", lambda folder: free.get("bytes"))
    return free


@pytest.mark.parametrize("seed", range(12))
def test_an_attempt_is_refused_before_it_fills_the_disk(agent, started, make_job, disk, seed: int):
    """Random models and budgets; the disk has a tenth too little, enough, or nobody can tell."""
    rng = random.Random(seed)
    job = make_job(
        f"model.layers={rng.choice([2, 4])}", f"budget.steps={rng.randint(10, 200)}",
        f"budget.checkpoint_every={rng.choice([0, 1, 5, 50])}", f"budget.keep_checkpoints={rng.randint(1, 4)}",
    )  # fmt: skip
    needed = planner.get_checkpoint_disk_bytes(parse(job.spec))
    disk["bytes"] = rng.choice([RESERVE + 0.9 * needed, RESERVE + 1.1 * needed, 0.0, None])
    is_refused = disk["bytes"] is not None and disk["bytes"] < RESERVE + needed
    assign(job)
    agent.tick()
    attempt = newest_attempt(job)
    assert bool(started) != is_refused
    if is_refused:
        assert (attempt.state, attempt.cause) == (AttemptState.FAILED, Cause.WORKLOAD)
        assert "Its checkpoints need" in attempt.reason and "keep fewer checkpoints" in attempt.reason
        attempt.node.refresh_from_db()
        assert attempt.node.health == Health.OK, "a small node is no faulty node"
    else:
        assert states(job) == (JobState.STARTING, AttemptState.STARTING)


def test_a_job_that_fits_nowhere_fails_with_its_reason(agent, started, make_job, disk, settings):
    disk["bytes"], settings.RETRY_LIMIT = 0, 0
    job = make_job()
    assign(job)
    agent.tick()
    failed = Job.objects.get()
    assert failed.state == JobState.FAILED and "GiB are free on the disk" in failed.reason and not started


def test_less_is_needed_near_the_end():
    spec = parse(
        {"budget": {"steps": 100, "checkpoint_every": 10, "keep_checkpoints": 5, "keep_best": False}}
    )
    sizes = [planner.get_checkpoint_disk_bytes(spec, first) for first in (0, 50, 70, 95)]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] > 2 * sizes[-1]
