"""Queue positions: exact near the head, true ranges behind, and few rows written however long the queue."""

from __future__ import annotations

import random
import re

import pytest
from django.utils import timezone

from jobs.models import Attempt, Job
from jobs.scheduler import loop, positions
from jobs.scheduler.policy.decide import QueuePosition
from jobs.scheduler.policy.reasons import WaitingReason
from jobs.scheduler.position_ranges import EXACT, WRITES, as_shown, first_writes, range_of, start_to_write
from jobs.states.jobs import AttemptState, JobState
from tests.jobs.busy_pools import make_busy_pool

SEED = 20261130
NOW = 1.8e9


def test_ranges_cover_every_position_once_and_widen_with_the_distance():
    position, ranges = EXACT + 1, []
    while position < 1_000_000:
        first, last = range_of(position)
        assert first == position and range_of(last) == (first, last) and range_of(last + 1)[0] == last + 1
        ranges.append(last - first + 1)
        position = last + 1
    assert ranges == sorted(ranges) and len(ranges) < 40
    assert all(range_of(n) is None for n in range(1, EXACT + 1))
    assert range_of(101) == (101, 200) and range_of(1000) == (901, 1000) and range_of(1001) == (1001, 2000)


def test_a_drawn_position_lies_in_its_range_and_the_sentence_says_so():
    drawn = random.Random(SEED)
    for _ in range(2_000):
        position = drawn.randrange(1, 10 ** drawn.randrange(1, 7))
        shown = as_shown(QueuePosition(position, WaitingReason("AHEAD", {"n": position - 1}), None))
        numbers = [int(n.replace(",", "")) for n in re.findall(r"[\d,]*\d", shown.reason.sentence)]
        assert numbers[0] <= position - 1 <= numbers[-1]
        assert shown.position <= position
        assert (shown.position == position) or position > EXACT


def test_a_written_start_is_never_earlier_than_the_expected_one():
    drawn = random.Random(SEED)
    for _ in range(5_000):
        start, position = NOW + drawn.random() * 10 ** drawn.randrange(1, 8), drawn.randrange(1, 5_000)
        written = drawn.choice((None, start + drawn.gauss(0, 10 ** drawn.randrange(7))))
        found = start_to_write(start, written, position, NOW)
        assert found >= start - 1
        assert found - start <= (1.0 if position <= EXACT else 0.3 * (start - NOW) + 121.0)
        assert start_to_write(start, found, position, NOW) == found  # and it stays
    assert start_to_write(None, NOW, 7, NOW) is None


def test_a_reason_far_behind_carries_no_figure_that_changes_all_the_time():
    far = EXACT + 1
    quota = {"team": "a", "held": 3, "limit": 4, "need": 2}
    assert "3" not in as_shown(QueuePosition(far, WaitingReason("QUOTA", quota), None)).reason.sentence
    reserved = as_shown(QueuePosition(far, WaitingReason("RESERVED", {"for": "x", "from": NOW}), None))
    assert reserved.reason.sentence == "Behind 100 to 199 jobs."
    closed = WaitingReason("POOL_CLOSED", {"pool": "p"})
    assert as_shown(QueuePosition(far, closed, None)).reason == closed


def test_a_tick_writes_the_head_first_and_never_more_than_its_share():
    drawn = random.Random(SEED)
    far = [drawn.randrange(EXACT + 1, 100_000) for _ in range(5_000)]
    all_positions = [*far, *range(1, EXACT + 1)]
    chosen = [all_positions[index] for index in first_writes(all_positions)]
    assert len(chosen) == EXACT + WRITES and set(range(1, EXACT + 1)) <= set(chosen)
    assert max(chosen) <= sorted(all_positions)[EXACT + WRITES]


@pytest.mark.django_db(transaction=True)
def test_the_rows_written_while_jobs_end_do_not_grow_with_the_queue(owner, monkeypatch):
    """Ends 14 jobs one by one, as the issue's measurement did, with 1,500 waiting."""
    pool = make_busy_pool(owner, num_nodes=6, num_jobs=1_500)
    Job.objects.filter(pool=pool).update(is_preemptible=False)
    for _ in range(6):
        loop.schedule(pool)
    written: list[int] = []
    write = positions._write
    monkeypatch.setattr(positions, "_write", lambda rows: (written.append(len(rows)), write(rows)))
    loop.schedule(pool)
    assert sum(written) == 0
    for _ in range(14):
        attempt = Attempt.objects.filter(state=AttemptState.RUNNING, job__pool=pool).first()
        attempt.leases.all().delete()
        Attempt.objects.filter(id=attempt.id).update(state=AttemptState.SUCCEEDED, ended_at=timezone.now())
        Job.objects.filter(id=attempt.job_id).update(state=JobState.SUCCEEDED)
        loop.schedule(pool)
    assert sum(written) < 14 * (EXACT + 60)
    assert max(written) <= EXACT + WRITES
