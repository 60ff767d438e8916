"""Ledgers of drawn jobs: parts that add up, lost steps, waiting; and the stored figures."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from engine.directory import checkpoint_name
from engine.telemetry.clock import BY_NAME
from jobs import ledger, runs, verdicts
from jobs.ledger.attempts import LATE, NO_RANK, OLD
from jobs.models import Attempt, Event, Job, Run
from jobs.states.jobs import AttemptState, JobState

pytestmark = pytest.mark.django_db

SEED = 20261130
BEGAN = datetime(2026, 11, 30, 9, tzinfo=UTC)
LOOP = ("validation", "outputs", "checkpoint", "recording", "between_steps")


@dataclass
class Drawn:
    """A drawn job with what its ledger should show."""

    job: Job
    ended_at: datetime
    waited_s: Counter[str] = field(default_factory=Counter)
    alive: set[tuple[int, int]] = field(
        default_factory=set
    )  # (attempt, step) that count, without first steps
    made: int = 0


def draw_job(job: Job, node, draw: random.Random) -> Drawn:
    """Attempts that resume from any earlier checkpoint, with gaps between them, and clocks that differ."""
    Job.objects.filter(id=job.id).update(submitted_at=BEGAN)
    Event.objects.filter(job=job).delete()
    found, now, done, kept = Drawn(job, BEGAN), BEGAN, 0, [0]
    state, count = "queued", draw.randint(1, 4)
    for number in range(1, count + 1):
        for _ in range(draw.randint(0, 2)):  # paused and resumed, in the queue
            now = _wait(found, now, state, draw)
            state = "paused" if state == "queued" else "queued"
            _add_event(job, f"job.{state}", now)
        now = _wait(found, now, state, draw)
        first = draw.choice(kept)
        found.alive = {one for one in found.alive if one[1] <= first}
        done = first + draw.randint(2, 60)
        now, checkpoint = _add_attempt(job, node, number, now, first, done, draw, is_last=number == count)
        kept.append(checkpoint)
        found.alive |= {(number, step) for step in range(first + 2, done + 1)}
        found.made += done - first - 1
        state = draw.choice(("queued", "failed")) if number < count else "failed"
        _add_event(job, f"job.{state}", now)
        if state == "failed" and number < count:
            now = _wait(found, now, "over", draw)
            state = "queued"
            _add_event(job, "job.queued", now)
    found.alive = {one for one in found.alive if one[1] <= kept[-1]}  # it failed in the end
    Job.objects.filter(id=job.id).update(state=JobState.FAILED, ended_at=now, attempt_number=count)
    found.ended_at = now
    job.refresh_from_db()
    return found


def _wait(found: Drawn, now: datetime, state: str, draw: random.Random) -> datetime:
    seconds = draw.uniform(0.0, 900.0)
    found.waited_s[state] += seconds
    return now + timedelta(seconds=seconds)


def _add_event(job: Job, kind: str, at: datetime) -> None:
    event = Event.objects.create(job=job, actor="scheduler", kind=kind)
    Event.objects.filter(id=event.id).update(at=at)


def _add_attempt(
    job: Job, node, number: int, began: datetime, first: int, done: int, draw: random.Random, *, is_last: bool
) -> tuple[datetime, int]:
    """Return the end of the attempt and the step of its newest checkpoint."""
    seconds = {
        "imports": draw.uniform(0, 9),
        "data": draw.uniform(0, 30),
        "build": draw.uniform(0, 9),
        "first_step": 1.0,
    }
    seconds |= {"step": draw.uniform(1, 600)} | {name: draw.uniform(0, 99) for name in draw.sample(LOOP, 3)}
    launch_s, ending_s, skew_s = draw.uniform(0, 20), draw.uniform(0, 40), draw.uniform(-5, 5)
    ended = began + timedelta(seconds=launch_s + sum(seconds.values()) + ending_s)
    checkpoint = draw.choice((first, draw.randint(first, done)))
    attempt = Attempt.objects.create(
        job=job, node=node, number=number, state=AttemptState.FAILED, started_at=began, ended_at=ended,
        resumed_from=f"/x/{checkpoint_name(first)}" if first else "", checkpoint_step=checkpoint or None,
        clock={"at": (ended - timedelta(seconds=ending_s - skew_s)).timestamp(), "first_step": first, "step": done,
               "seconds": seconds},
    )  # fmt: skip
    Attempt.objects.filter(id=attempt.id).update(assigned_at=began)
    return ended, checkpoint


@pytest.mark.parametrize("number", range(60))
def test_a_drawn_job_is_divided_without_rest(make_job, node, number: int):
    drawn = draw_job(make_job(), node, random.Random(f"{SEED} {number}"))
    found = ledger.build_ledger(drawn.job.run)
    assert found is not None
    for attempt in found.attempts:
        assert sum(attempt.seconds.values()) == pytest.approx(attempt.held_s)
        assert set(attempt.seconds) <= set(BY_NAME) and min(attempt.seconds.values()) > 0
        assert attempt.unexplained_share == 0.0 and attempt.note == ""
    assert {name: s for name, s in found.waited_s.items() if s} == pytest.approx(dict(drawn.waited_s))
    span_s = (drawn.ended_at - BEGAN).total_seconds()
    assert found.held_s + sum(found.waited_s.values()) == pytest.approx(span_s)
    assert (found.num_steps, found.num_steps - found.num_lost_steps) == (drawn.made, len(drawn.alive))
    assert found.goodput_share == pytest.approx(found.seconds.get("step", 0.0) / found.held_s)


def give_clock(job: Job, node, **fields) -> Attempt:
    """An attempt of 100 s that ended, whose rank recorded 90 s."""
    clock = {
        "at": (BEGAN + timedelta(seconds=95)).timestamp(), "first_step": 0, "step": 41,
        "seconds": {"imports": 10.0, "first_step": 5.0, "step": 40.0, "validation": 35.0},
    }  # fmt: skip
    values = {
        "state": AttemptState.SUCCEEDED,
        "started_at": BEGAN,
        "ended_at": BEGAN + timedelta(seconds=100),
        "clock": clock,
    }
    attempt = Attempt.objects.create(job=job, node=node, number=1, **values | fields)
    Attempt.objects.filter(id=attempt.id).update(assigned_at=BEGAN)
    Job.objects.filter(id=job.id).update(
        submitted_at=BEGAN,
        attempt_number=1,
        state=JobState.SUCCEEDED,
        ended_at=BEGAN + timedelta(seconds=100),
    )
    job.refresh_from_db()
    attempt.refresh_from_db()
    return attempt


def test_throughput_within_steps_and_by_the_clock(make_job, node):
    job = make_job()
    give_clock(job, node)
    found = ledger.build_ledger(job.run)
    assert found.attempts[0].seconds == pytest.approx(
        {"launch": 5.0, "imports": 10.0, "first_step": 5.0, "step": 40.0, "validation": 35.0, "ending": 5.0}
    )
    tokens = found.tokens_per_step
    assert found.step_tokens_per_s == pytest.approx(tokens * 40 / 40.0)
    assert found.clock_tokens_per_s == pytest.approx(tokens * 40 / 75.0)
    assert found.goodput_share == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("fields", "part", "seconds", "note"),
    [
        ({"clock": {}, "phases": {"starting": 1.0, "imports": 9.0}}, "unexplained", 90.0, OLD),
        ({"clock": {}, "state": AttemptState.FAILED}, "launch", 100.0, NO_RANK),
        ({"ended_at": BEGAN + timedelta(seconds=45)}, "step", 20.0, LATE),
    ],
)
def test_what_cannot_be_told_is_said(make_job, node, fields, part, seconds, note):
    job = make_job()
    give_clock(job, node, **fields)
    (attempt,) = ledger.build_ledger(job.run).attempts
    assert attempt.seconds[part] == pytest.approx(seconds) and attempt.note == note
    assert sum(attempt.seconds.values()) == pytest.approx(attempt.held_s)


def test_a_live_attempt_counts_until_its_newest_record(make_job, node):
    job = make_job()
    give_clock(job, node, state=AttemptState.RUNNING, ended_at=None)
    (attempt,) = ledger.build_ledger(job.run).attempts
    assert attempt.is_live and attempt.held_s == pytest.approx(95.0)
    assert "ending" not in attempt.seconds and attempt.num_lost_steps == 0


def test_a_job_without_attempts_and_a_fabric_test_have_none(make_job, fabric_job, node):
    assert ledger.build_ledger(make_job().run) is None
    job = fabric_job()
    give_clock(job, node)
    assert ledger.build_ledger(job.run) is None


def test_the_table_of_runs_finds_and_sorts_by_goodput(make_job, node, team):
    for share in (0.2, 0.8):
        job = make_job()
        attempt = give_clock(job, node)
        attempt.clock["seconds"] = {"step": 100 * share, "recording": 95 - 100 * share}
        attempt.save()
        Run.objects.filter(job=job).update(name=f"{share:.0%}")
        verdicts.judge_run(Run.objects.get(job=job))
    waiting = make_job().run
    asker = runs.Asker(Run.objects.filter(team=team), "olga", BEGAN)
    assert [run.name for run in runs.filtered(asker.runs, "goodput < 0.5", asker)] == ["20%"]
    found = runs.ordered(
        Run.objects.filter(team=team), runs.field_from_text("clock_rate"), is_descending=True
    )
    assert [run.name for run in found][:2] == ["80%", "20%"] and waiting in found


def test_the_verdict_reads_the_clock(trained):
    job = trained({}, {})
    Attempt.objects.filter(job=job).update(
        clock={
            "at": BEGAN.timestamp(),
            "first_step": 0,
            "step": 40,
            "seconds": {"step": 4.0, "validation": 36.0},
        }
    )
    stored = verdicts.judge_run(job.run)
    assert (stored.name, stored.severity) == ("validation", "strong")
    assert stored.share == pytest.approx(0.9)
