"""Likely and latest starts against what happens: 400 generated queues under the real policy."""

from __future__ import annotations

import statistics

import pytest

from jobs.scheduler.policy import decide
from jobs.scheduler.policy.likely import LikelyDurations, latest_with_backfill, likely_starts
from tests.jobs.scheduler.policy import queue_simulator
from tests.jobs.scheduler.policy.queue_simulator import NOW
from tests.jobs.scheduler.policy.snapshots import node, pool, running, waiting

pytestmark = pytest.mark.slow

SEEDS = range(200)


def errors(noise: float, **kind) -> list[float]:
    """Of every job: likely minus real start over the wait."""
    found = []
    for seed in SEEDS:
        simulated = queue_simulator.generate(seed, **kind)
        told = likely_starts(simulated.snapshot(), queue_simulator.likely_of(simulated, noise, seed))
        simulated.run()
        for job, real in simulated.starts.items():
            at = told[job].at
            assert at is not None, f"seed {seed}, {job}: it started"
            found.append((at - real) / max(real - NOW, 60.0))
    return found


@pytest.mark.parametrize("kind", [{}, {"teams": 1}, {"teams": 1, "gangs": False}], ids=str)
def test_with_true_durations_the_likely_start_is_the_real_one(kind):
    found = errors(0.0, **kind)
    assert sum(abs(error) < 1e-6 for error in found) >= 0.95 * len(found)


def test_with_durations_off_by_a_fifth_the_likely_start_is_off_by_as_much():
    found = errors(0.2)
    assert statistics.median(abs(error) for error in found) < 0.15
    assert abs(statistics.median(found)) < 0.05


def test_hardly_a_job_starts_after_its_latest_start():
    """Fair share may put other teams ahead, and backfill protects the head only: see docs/decisions/queue.md."""
    late = total = 0
    for seed in SEEDS:
        simulated = queue_simulator.generate(seed)
        snapshot = simulated.snapshot()
        positions, backfilled = decide(snapshot).positions, latest_with_backfill(snapshot)
        simulated.run()
        for job, real in simulated.starts.items():
            if job in positions and (latest := positions[job].expected_start) is not None:
                total += 1
                late += real > max(latest, backfilled.get(job, 0.0)) + 1.0
    assert total > 4000
    assert late <= 0.005 * total


def test_without_gangs_no_job_of_one_team_starts_after_its_latest_start():
    for seed in SEEDS:
        simulated = queue_simulator.generate(seed, teams=1, gangs=False)
        positions = decide(simulated.snapshot()).positions
        simulated.run()
        for job, real in simulated.starts.items():
            if job in positions:
                assert real <= positions[job].expected_start + 1.0, f"seed {seed}, {job}"


def test_a_job_behind_jobs_of_unknown_duration_has_no_likely_start():
    snapshot = pool(
        node("a", 2, held=2), running=[running(1, {"a": 1}), running(2, {"a": 1})], waiting=waiting(1)
    )
    (start,) = likely_starts(snapshot, LikelyDurations({}, {})).values()
    assert (start.at, start.num_before, start.num_unknown) == (None, 2, 2)
    (start,) = likely_starts(snapshot, LikelyDurations({1: NOW + 50}, {})).values()
    assert (start.at, start.num_unknown) == (NOW + 50, 1)


def test_jobs_behind_the_simulated_ones_have_a_likely_start_too():
    snapshot = pool(node("a", 1, held=1), running=[running(1, {"a": 1})], waiting=waiting(*[1] * 300))
    durations = {job.job: 10.0 for job in snapshot.waiting}
    found = likely_starts(snapshot, LikelyDurations({1: NOW + 5}, durations))
    assert found["w299"].at == NOW + 5 + 299 * 10
