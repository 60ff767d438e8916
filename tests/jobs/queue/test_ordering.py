"""Reordering: among a team's own waiting jobs of one priority, and nowhere else."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command

from jobs.models import Job, Priority
from jobs.queue import job_actions
from jobs.queue.ordering import Reach, UnknownChoice, Where, parse_priority, parse_where, prioritise, reorder
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
    assert (parse_where("front"), parse_priority("high")) == (Where.FRONT, Priority.HIGH)
    for parse, field in ((parse_where, "where"), (parse_priority, "priority")):
        with pytest.raises(UnknownChoice, match=f"'sideways' is not known as {field}. Known: ") as refused:
            parse("sideways")
        assert refused.value.field == field


def test_a_job_is_served_before_another_and_the_events_say_who_did_it(waiting):
    pool = waiting["a"].pool
    reorder(waiting["c"], "tom", Where.BEFORE, waiting["b"])
    assert line(pool) == ["a", "c", "b"]
    reorder(waiting["b"], "tom", Where.BEFORE, waiting["a"])
    assert line(pool) == ["b", "a", "c"]
    event = waiting["b"].events.last()
    assert (event.actor, event.text) == ("tom", f"Moved before job {waiting['a'].id} by tom.")


def test_the_age_that_people_see_does_not_change(waiting):
    moved = reorder(waiting["c"], "tom", Where.BEFORE, waiting["a"])
    assert moved.job.submitted_at == waiting["c"].submitted_at


def test_another_priority_or_team_is_another_line(waiting, make_job, make_spec, other_team, stranger):
    low = make_job("priority=low", devices=2)
    theirs = job_actions.submit(spec=make_spec(devices=2), team=other_team, owner=stranger)
    for other in (low, theirs):
        with pytest.raises(StateError, match="same line"):
            reorder(waiting["a"], "tom", Where.BEFORE, other)


def test_a_job_that_has_left_the_queue_is_not_moved(waiting):
    job_actions.cancel(waiting["c"], actor="tom")
    with pytest.raises(StateError, match="does not wait any more"):
        reorder(waiting["c"], "tom", Where.BEFORE, waiting["a"])


def test_the_command_moves_or_says_why_not(waiting, capsys):
    call_command("reorder", waiting["c"].id, "--before", waiting["a"].id)
    assert line(waiting["a"].pool) == ["c", "a", "b"]
    with pytest.raises(CommandError, match="no job 'x'"):
        call_command("reorder", "x", "--before", waiting["a"].id)


@pytest.mark.parametrize(
    ("where", "order"),
    [(Where.UP, "acb"), (Where.FRONT, "cab"), (Where.BACK, None), (Where.DOWN, None)],
)
def test_the_last_of_a_line_moves_up_and_not_further_back(waiting, where, order):
    if order is None:
        with pytest.raises(StateError, match="stands there already"):
            reorder(waiting["c"], "tom", where)
    else:
        reorder(waiting["c"], "tom", where)
        assert line(waiting["a"].pool) == list(order)


@pytest.mark.parametrize("name", ["a", "b", "c"])
@pytest.mark.parametrize("where", [Where.FRONT, Where.BACK])
def test_what_is_undone_stands_as_before(waiting, name, where):
    before = line(waiting["a"].pool)
    try:
        moved = reorder(waiting[name], "tom", where)
    except StateError:
        return  # it stood there
    assert line(waiting["a"].pool) != before
    other = Job.objects.filter(id=moved.undo_other).first()
    reorder(waiting[name], "tom", moved.undo, other)
    assert line(waiting["a"].pool) == before


def test_the_new_order_is_seen_before_the_scheduler_looks_again(waiting):
    line(waiting["a"].pool)
    reorder(waiting["c"], "tom", Where.FRONT)
    told = Job.objects.filter(state="queued").order_by("position").values_list("name", flat=True)
    assert list(told) == ["c", "a", "b"]


def test_who_may_move_only_own_jobs_passes_nobody_else(waiting, make_spec, team, team_mate):
    """Places: a, b, c of olga, and tom's in between; olga's last to her front leaves tom's where it stands."""
    theirs = job_actions.submit(spec=make_spec(devices=2, name="t"), team=team, owner=team_mate)
    reorder(theirs, "admin", Where.BEFORE, waiting["b"])
    assert line(waiting["a"].pool) == ["a", "t", "b", "c"]
    reorder(waiting["c"], "olga", Where.FRONT, reach=Reach.OWN)
    assert line(waiting["a"].pool) == ["c", "t", "a", "b"]
    with pytest.raises(StateError, match="same line"):
        reorder(waiting["c"], "olga", Where.AFTER, theirs, reach=Reach.OWN)


def test_jobs_of_one_age_can_be_told_apart_once_they_are_moved(waiting):
    Job.objects.filter(state="queued").update(queue_key=waiting["a"].queue_key)
    before = line(waiting["a"].pool)
    reorder(waiting[before[2]], "tom", Where.FRONT)
    assert line(waiting["a"].pool) == [before[2], before[0], before[1]]


def test_a_class_of_its_own_goes_first_and_the_events_say_so(waiting):
    prioritise(waiting["c"], "lena", Priority.HIGH)
    assert line(waiting["a"].pool) == ["c", "a", "b"]
    assert waiting["c"].events.last().text == "Priority high, set by lena."
    with pytest.raises(StateError, match="has priority high already"):
        prioritise(waiting["c"], "lena", Priority.HIGH)


def test_high_is_not_for_everybody_and_nothing_is_for_who_waits_no_more(waiting):
    with pytest.raises(StateError, match="leads of team Research"):
        prioritise(waiting["c"], "olga", Priority.HIGH, reach=Reach.OWN)
    job_actions.cancel(waiting["c"], actor="olga")
    with pytest.raises(StateError, match="does not wait any more"):
        prioritise(waiting["c"], "olga", Priority.LOW)
