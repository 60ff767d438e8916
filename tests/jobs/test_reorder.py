"""Reordering: among a team's own waiting jobs of one priority, and nowhere else."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command

from jobs import queue, scheduler
from jobs.models import Job
from jobs.states import StateError

pytestmark = pytest.mark.django_db


def line(pool) -> list[str]:
    scheduler.schedule(pool)
    return list(Job.objects.filter(state="queued").order_by("position").values_list("name", flat=True))


@pytest.fixture
def waiting(make_job) -> dict[str, Job]:
    """Three jobs behind one that holds all devices."""
    scheduler.schedule(make_job(devices=2).pool)
    return {name: make_job(devices=2, name=name) for name in ("a", "b", "c")}


def test_a_job_is_served_before_another_and_the_events_say_who_did_it(waiting):
    pool = waiting["a"].pool
    queue.reorder(waiting["c"], "tom", before=waiting["b"])
    assert line(pool) == ["a", "c", "b"]
    queue.reorder(waiting["b"], "tom", before=waiting["a"])
    assert line(pool) == ["b", "a", "c"]
    event = waiting["b"].events.last()
    assert (event.actor, event.text) == ("tom", f"Moved before job {waiting['a'].id} by tom.")


def test_the_age_that_people_see_does_not_change(waiting):
    moved = queue.reorder(waiting["c"], "tom", before=waiting["a"])
    assert moved.submitted_at == waiting["c"].submitted_at


def test_another_priority_or_team_is_another_line(waiting, make_job, make_spec, other_team, stranger):
    low = make_job("priority=low", devices=2)
    theirs = queue.submit(spec=make_spec(devices=2), team=other_team, owner=stranger)
    for other in (low, theirs):
        with pytest.raises(StateError, match="same line"):
            queue.reorder(waiting["a"], "tom", before=other)


def test_a_job_that_has_left_the_queue_is_not_moved(waiting):
    queue.cancel(waiting["c"], actor="tom")
    with pytest.raises(StateError, match="does not wait any more"):
        queue.reorder(waiting["c"], "tom", before=waiting["a"])


def test_the_command_moves_or_says_why_not(waiting, capsys):
    call_command("reorder", waiting["c"].id, "--before", waiting["a"].id)
    assert line(waiting["a"].pool) == ["c", "a", "b"]
    with pytest.raises(CommandError, match="no job 'x'"):
        call_command("reorder", "x", "--before", waiting["a"].id)
