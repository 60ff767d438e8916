"""Reordering the waiting jobs of one team and priority."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command

from jobs.models import Job, Priority
from jobs.queue import job_actions
from jobs.queue.ordering import (
    MoveTarget,
    ReorderScope,
    UnknownChoice,
    parse_priority,
    parse_where,
    reorder,
    set_priority,
)
from jobs.scheduler import loop
from jobs.states.jobs import StateError

pytestmark = pytest.mark.django_db


def line(pool) -> list[str]:
    loop.schedule(pool)
    return list(Job.objects.filter(state="queued").order_by("position").values_list("name", flat=True))


@pytest.fixture
def waiting(make_job) -> dict[str, Job]:
    """Three jobs behind one that holds all devices."""
    loop.schedule(make_job(devices=2).pool)
    return {name: make_job(devices=2, name=name) for name in ("a", "b", "c")}


def test_moves_and_priorities_are_read_by_name_and_others_refused_with_the_known_ones():
    assert (parse_where("front"), parse_priority("high")) == (MoveTarget.FRONT, Priority.HIGH)
    for parse, field in ((parse_where, "where"), (parse_priority, "priority")):
        with pytest.raises(UnknownChoice, match=f"'sideways' is not known as {field}. Known: ") as refused:
            parse("sideways")
        assert refused.value.field == field


def test_a_job_moves_before_another_and_the_event_names_the_actor(waiting):
    pool = waiting["a"].pool
    reorder(waiting["c"], "tom", MoveTarget.BEFORE, waiting["b"])
    assert line(pool) == ["a", "c", "b"]
    reorder(waiting["b"], "tom", MoveTarget.BEFORE, waiting["a"])
    assert line(pool) == ["b", "a", "c"]
    event = waiting["b"].events.last()
    assert (event.actor, event.text) == ("tom", f"Moved before job {waiting['a'].id} by tom.")


def test_the_age_that_people_see_does_not_change(waiting):
    moved = reorder(waiting["c"], "tom", MoveTarget.BEFORE, waiting["a"])
    assert moved.job.submitted_at == waiting["c"].submitted_at


def test_another_priority_or_team_is_another_line(waiting, make_job, make_spec, other_team, stranger):
    low = make_job("priority=low", devices=2)
    theirs = job_actions.submit(spec=make_spec(devices=2), team=other_team, owner=stranger)
    for other in (low, theirs):
        with pytest.raises(StateError, match="same line"):
            reorder(waiting["a"], "tom", MoveTarget.BEFORE, other)


def test_a_job_that_has_left_the_queue_is_not_moved(waiting):
    job_actions.cancel(waiting["c"], actor="tom")
    with pytest.raises(StateError, match="is no longer waiting"):
        reorder(waiting["c"], "tom", MoveTarget.BEFORE, waiting["a"])


def test_the_command_moves_a_job_or_refuses_with_a_reason(waiting, capsys):
    call_command("reorder", waiting["c"].id, "--before", waiting["a"].id)
    assert line(waiting["a"].pool) == ["c", "a", "b"]
    with pytest.raises(CommandError, match="Job 'x' does not exist"):
        call_command("reorder", "x", "--before", waiting["a"].id)


@pytest.mark.parametrize(
    ("where", "order"),
    [(MoveTarget.UP, "acb"), (MoveTarget.FRONT, "cab"), (MoveTarget.BACK, None), (MoveTarget.DOWN, None)],
)
def test_the_last_job_of_a_line_moves_up_but_not_back(waiting, where, order):
    if order is None:
        with pytest.raises(StateError, match="already at that position"):
            reorder(waiting["c"], "tom", where)
    else:
        reorder(waiting["c"], "tom", where)
        assert line(waiting["a"].pool) == list(order)


@pytest.mark.parametrize("name", ["a", "b", "c"])
@pytest.mark.parametrize("where", [MoveTarget.FRONT, MoveTarget.BACK])
def test_undo_restores_the_order(waiting, name, where):
    before = line(waiting["a"].pool)
    try:
        moved = reorder(waiting[name], "tom", where)
    except StateError:
        return  # it was there already
    assert line(waiting["a"].pool) != before
    other = Job.objects.filter(id=moved.undo_other).first()
    reorder(waiting[name], "tom", moved.undo, other)
    assert line(waiting["a"].pool) == before


def test_the_new_order_is_visible_before_the_next_scheduler_tick(waiting):
    line(waiting["a"].pool)
    reorder(waiting["c"], "tom", MoveTarget.FRONT)
    names = Job.objects.filter(state="queued").order_by("position").values_list("name", flat=True)
    assert list(names) == ["c", "a", "b"]


def test_an_owner_moves_past_own_jobs_only(waiting, make_spec, team, team_mate):
    """Order: olga's a, tom's t, olga's b and c. Moving c to olga's front leaves t where it is."""
    theirs = job_actions.submit(spec=make_spec(devices=2, name="t"), team=team, owner=team_mate)
    reorder(theirs, "admin", MoveTarget.BEFORE, waiting["b"])
    assert line(waiting["a"].pool) == ["a", "t", "b", "c"]
    reorder(waiting["c"], "olga", MoveTarget.FRONT, scope=ReorderScope.OWN)
    assert line(waiting["a"].pool) == ["c", "t", "a", "b"]
    with pytest.raises(StateError, match="same line"):
        reorder(waiting["c"], "olga", MoveTarget.AFTER, theirs, scope=ReorderScope.OWN)


def test_jobs_of_the_same_age_can_be_reordered(waiting):
    Job.objects.filter(state="queued").update(queue_key=waiting["a"].queue_key)
    before = line(waiting["a"].pool)
    reorder(waiting[before[2]], "tom", MoveTarget.FRONT)
    assert line(waiting["a"].pool) == [before[2], before[0], before[1]]


def test_a_higher_priority_goes_first_and_is_recorded(waiting):
    set_priority(waiting["c"], "lena", Priority.HIGH)
    assert line(waiting["a"].pool) == ["c", "a", "b"]
    assert waiting["c"].events.last().text == "Priority high, set by lena."
    with pytest.raises(StateError, match="already has priority high"):
        set_priority(waiting["c"], "lena", Priority.HIGH)


def test_high_priority_needs_a_lead_and_a_waiting_job(waiting):
    with pytest.raises(StateError, match="leads of team Research"):
        set_priority(waiting["c"], "olga", Priority.HIGH, scope=ReorderScope.OWN)
    job_actions.cancel(waiting["c"], actor="olga")
    with pytest.raises(StateError, match="is no longer waiting"):
        set_priority(waiting["c"], "olga", Priority.LOW)
