"""A busy pool with a long queue, smaller than in tests/perf/test_scheduler.py."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from jobs.models import Job, Pool
from jobs.scheduler import loop
from jobs.scheduler.position_ranges import range_of
from jobs.states.jobs import JobState
from tests.jobs.busy_pools import make_busy_pool

pytestmark = pytest.mark.django_db(transaction=True)


def quiet_tick(pool: Pool) -> int:
    """Return the number of queries of a tick in which nothing changes."""
    Job.objects.update(is_preemptible=False)
    for _ in range(3):
        loop.schedule(pool)
    with CaptureQueriesContext(connection) as queries:
        assert loop.schedule(pool) == 0
    return len(queries)


def test_a_tick_asks_the_database_the_same_however_long_the_queue_and_large_the_pool(owner):
    small = quiet_tick(make_busy_pool(owner, num_nodes=4, num_jobs=40))
    Job.objects.all().delete()
    Pool.objects.update(name="small")
    large = quiet_tick(make_busy_pool(owner, num_nodes=20, num_jobs=400, name="large"))
    assert small == large


def test_every_waiting_job_has_a_position_a_reason_and_a_start(owner):
    pool = make_busy_pool(owner, num_nodes=10, num_jobs=300)
    loop.schedule(pool)
    waiting = Job.objects.filter(pool=pool, state=JobState.QUEUED)
    shown = [(range_of(n) or (n,))[0] for n in range(1, waiting.count() + 1)]
    assert sorted(waiting.values_list("position", flat=True)) == shown
    assert not waiting.filter(waiting_reason="").exists()
    assert not waiting.filter(expected_start_at=None).exists()


def test_free_nodes_are_filled_within_a_few_ticks_and_no_device_twice(owner):
    pool = make_busy_pool(owner, num_nodes=12, num_jobs=200, free_nodes=10)
    placed = 0
    while some := loop.schedule(pool):
        placed += some
    assert placed == Job.objects.filter(pool=pool, state=JobState.SCHEDULED).count() > 10
