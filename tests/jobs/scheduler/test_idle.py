"""Idle culling: the warning, one extension, and the stop."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from jobs import series
from jobs.lifecycle.ending import end_attempt
from jobs.models import Attempt, Event, Job, Pool
from jobs.pools import pool_settings
from jobs.queue import job_actions
from jobs.scheduler import idle, loop
from jobs.series import Point
from jobs.states.jobs import AttemptState, JobState, StateError
from tests.jobs.device_usage import hold_devices
from tests.jobs.test_races import run_at_once

pytestmark = pytest.mark.django_db

WINDOW = timedelta(minutes=30)


@pytest.fixture
def policy(pool):
    pool_settings.change(
        pool, "ann", {"idle_after_s": "30 min", "idle_warn_s": "10 min", "idle_extension_s": "1 h"}
    )
    return pool


@pytest.fixture
def job(make_job, policy, node):
    """A job that has run on both devices for two hours, without readings."""
    made = make_job(devices=2)
    hold_devices(made, timezone.now() - timedelta(hours=2))
    Job.objects.filter(id=made.id).update(state=JobState.RUNNING)
    return Job.objects.get(id=made.id)


def measure(
    job: Job, *percents: float, devices: tuple[str, ...] = ("a-0", "a-1"), gap: tuple[int, int] = (0, 0)
):
    """Append a reading every 20 s of the window, cycling through `percents`, except between the seconds of `gap`."""
    begin = (timezone.now() - WINDOW).timestamp()
    points = [
        Point("utilisation_pct", f"device:{device}", None, begin + second, percents[index % len(percents)])
        for index, second in enumerate(range(0, 1800, 20))
        if not gap[0] <= second < gap[1]
        for device in devices
    ]
    series.append(job.run.id, 1, "device.jsonl", Event.objects.count(), points)


def now(job: Job) -> Job:
    return Job.objects.get(id=job.id)


def warnings(job: Job) -> list[str]:
    return list(job.events.filter(kind="note.warning").values_list("text", flat=True))


def due(job: Job) -> None:
    """Move the stop time of the warning into the past."""
    Job.objects.filter(id=job.id).update(idle_stop_at=timezone.now() - timedelta(seconds=1))


def test_it_is_warned_once_with_the_time_at_which_it_is_stopped(job):
    measure(job, 0.0, 2.0)
    idle.reconcile()
    idle.reconcile()
    left_s = (now(job).idle_stop_at - timezone.now()).total_seconds()
    assert 590 < left_s <= 600
    (text,) = warnings(job)
    assert text.startswith(
        "Holds 2 devices without using them: at most 1.0 % over 30 min, and no step. It is stopped at"
    )
    assert "extended once, by 1 h" in text


def test_then_it_is_stopped_at_a_step_boundary_and_ends_with_the_reason(job):
    measure(job, 0.0)
    idle.reconcile()
    due(job)
    idle.reconcile()
    stopping = now(job)
    assert (stopping.state, stopping.wanted_state, stopping.idle_stop_at) == (
        JobState.STOPPING,
        "cancelled",
        None,
    )
    end_attempt(
        Attempt.objects.select_related("node", "job__run").get(), AttemptState.STOPPED, "stopped", "stopped"
    )
    assert now(job).state == JobState.CANCELLED
    assert now(job).reason.startswith("Holds 2 devices without using them") and now(job).reason.endswith(
        "It was warned."
    )


def test_no_job_is_warned_if_the_pool_does_not_check(job, policy):
    pool_settings.change(policy, "ann", {"idle_after_s": ""})
    measure(job, 0.0)
    idle.reconcile()
    assert not warnings(job)


@pytest.mark.parametrize(
    ("percents", "measured"),
    [
        ((0.0, 20.0), {}),  # used in between
        ((0.0,), {"devices": ("a-0",)}),  # one of its devices is not measured
        ((0.0,), {"gap": (600, 900)}),  # five minutes of the window are not measured
        ((0.0,), {"devices": ()}),
    ],
)
def test_used_or_unmeasured_devices_never_count_as_idle(job, percents, measured):
    measure(job, *percents, **measured)
    idle.reconcile()
    assert now(job).idle_stop_at is None and not warnings(job)


def test_an_attempt_that_makes_steps_is_not_idle_however_low_its_utilisation(job):
    measure(job, 0.0)
    Job.objects.update(stepped_at=timezone.now() - WINDOW + timedelta(minutes=1))
    idle.reconcile()
    assert not warnings(job)


def test_an_attempt_younger_than_the_window_is_not_warned(job):
    measure(job, 0.0)
    Attempt.objects.update(started_at=timezone.now() - WINDOW + timedelta(minutes=1))
    idle.reconcile()
    assert not warnings(job)


def test_a_job_that_uses_its_devices_again_is_not_stopped(job):
    measure(job, 0.0)
    idle.reconcile()
    Job.objects.update(stepped_at=timezone.now())
    due(job)
    idle.reconcile()
    assert (now(job).state, now(job).idle_stop_at) == (JobState.RUNNING, None)
    assert "used again" in job.events.last().text


def test_switching_the_check_off_withdraws_its_warnings(job, policy):
    measure(job, 0.0)
    idle.reconcile()
    pool_settings.change(policy, "ann", {"idle_after_s": ""})
    idle.reconcile()
    assert now(job).idle_stop_at is None


def test_a_person_extends_the_time_once_and_is_recorded(job):
    measure(job, 0.0)
    idle.reconcile()
    before = now(job).idle_stop_at
    after = idle.extend(job, "olga")
    assert after.idle_stop_at - before == timedelta(hours=1)
    assert "extended by olga" in job.events.last().text
    with pytest.raises(StateError, match="extended once already, by olga"):
        idle.extend(job, "tom")
    due(job)
    idle.reconcile()
    assert now(job).state == JobState.STOPPING


def test_a_job_without_a_warning_cannot_be_extended(job):
    with pytest.raises(StateError, match="has not been warned"):
        idle.extend(job, "olga")


def test_the_next_attempt_may_be_extended_again(job):
    measure(job, 0.0)
    idle.reconcile()
    idle.extend(job, "olga")
    end_attempt(
        Attempt.objects.select_related("node", "job__run").get(),
        AttemptState.STOPPED,
        "shutdown",
        "stopped",
        "",
        "X",
    )
    again = now(job)
    assert (again.state, again.idle_stop_at) == (JobState.QUEUED, None)
    loop.schedule(Pool.objects.get())
    assert now(job).idle_extended_by == ""


def test_the_command_extends_the_time(job, capsys):
    with pytest.raises(CommandError, match="not been warned"):
        call_command("extend", job.id, "--user", "olga")
    measure(job, 0.0)
    idle.reconcile()
    call_command("extend", job.id, "--user", "olga")
    assert now(job).idle_extended_by == "olga"


@pytest.mark.django_db(transaction=True)
def test_two_schedulers_and_two_people_at_once_warn_and_extend_once(job):
    measure(job, 0.0)
    run_at_once(*[idle.reconcile] * 3)
    assert len(warnings(job)) == 1

    def put_off() -> bool:
        try:
            return bool(idle.extend(Job.objects.get(id=job.id), "olga"))
        except StateError:
            return False

    assert sorted(run_at_once(put_off, put_off)) == [False, True]


@pytest.mark.django_db(transaction=True)
def test_a_job_extended_at_the_last_moment_is_not_stopped(job):
    measure(job, 0.0)
    idle.reconcile()
    due(job)

    def put_off() -> bool:
        try:
            return bool(idle.extend(Job.objects.get(id=job.id), "olga"))
        except StateError:
            return False

    extended, *_ = run_at_once(put_off, idle.reconcile, idle.reconcile)
    assert (now(job).state == JobState.RUNNING) == extended
    assert job.events.filter(kind="job.stopping").count() == (0 if extended else 1)


def test_a_cancel_ends_a_warning(job):
    measure(job, 0.0)
    idle.reconcile()
    job_actions.cancel(now(job), actor="olga")
    assert now(job).idle_stop_at is None
