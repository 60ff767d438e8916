"""Listeners of the live stream and the database watcher."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from dashboard.live import stream as live
from dashboard.live.stream import Hub, Listener, Subscription
from dashboard.live.watcher import DatabaseWatcher, LiveChange
from jobs import series
from jobs.lifecycle import transitions
from jobs.models import Device, Event, Job, Membership, Node, Pool, Run, Team
from jobs.series import Point

ALL = Subscription(None, True, True)


def run_change(run_id: str, seq: int, team: int = 1) -> LiveChange:
    return LiveChange("run", run_id, team, {"id": run_id, "seq": seq})


def run_with_listener(do, subscription: Subscription = ALL):
    """Run `do(listener)` in a new event loop."""

    async def body():
        return await do(Listener("key", [1], subscription))

    return asyncio.run(body())


def test_only_the_newest_event_of_each_run_waits():
    async def do(listener):
        for seq in range(100):
            listener.offer([run_change("a", seq), run_change("b", seq)])
        return await listener.next()

    assert run_with_listener(do).count(b"event: run") == 2


def test_a_listener_that_does_not_read_holds_a_limited_number_of_events():
    async def do(listener):
        for number in range(live.PENDING_LIMIT + 50):
            listener.offer([run_change(f"run {number}", 1)])
        return await listener.next()

    waiting = run_with_listener(do)
    assert waiting.count(b"event: run") == live.PENDING_LIMIT
    assert b'"run 49"' not in waiting and b'"run 1049"' in waiting


def test_events_of_other_teams_are_not_kept(monkeypatch):
    monkeypatch.setattr(live, "PING_S", 0.01)

    async def do(listener):
        listener.offer([run_change("a", 1, team=2)])
        return await listener.next()

    assert run_with_listener(do) == b""


def test_a_silent_stream_sends_pings(monkeypatch):
    monkeypatch.setattr(live, "PING_S", 0.01)

    async def body():
        stream = live._stream("key", frozenset([1]), ALL)
        messages = [await anext(stream) for _ in range(2)]
        await stream.aclose()
        return messages

    monkeypatch.setattr(live, "HUB", SilentHub())
    assert asyncio.run(body()) == [b"retry: 2000\n\n", b": ping\n\n"]
    assert not live.HUB.listeners


class SilentHub(Hub):
    def _watch(self) -> None:
        """Does not watch."""


@pytest.fixture
def job_run_and_owner(db):
    team = Team.objects.create(name="blue", slug="blue")
    owner = User.objects.create_user("owner")
    Membership.objects.create(user=owner, team=team)
    pool = Pool.objects.create(name="default")
    made = Job.objects.create(
        team=team, owner=owner, pool=pool, name="j", spec={}, num_devices=1, num_steps=10
    )
    run = Run.objects.create(job=made, team=team, owner=owner, name="j")
    Event.objects.update(at=timezone.now() - timedelta(hours=1))
    return made, run, owner


def changed_ids(watcher: DatabaseWatcher, event: str) -> list[str]:
    return [change.id for change in watcher.changes() if change.event == event]


def test_a_job_is_reported_once_for_each_new_state_and_event(job_run_and_owner):
    job, _, _ = job_run_and_owner
    watcher = DatabaseWatcher()
    assert changed_ids(watcher, "job") == []
    transitions.move_job(job.id, "scheduled", actor="scheduler")
    assert changed_ids(watcher, "job") == [job.id]
    assert changed_ids(watcher, "job") == []
    Event.objects.create(job=job, actor="rank0", kind="note.info", text="hello")
    assert changed_ids(watcher, "job") == [job.id]
    Job.objects.update(waiting_reason="for two devices")
    assert changed_ids(watcher, "job") == [job.id]
    transitions.move_job(job.id, "cancelled", actor="owner")
    assert changed_ids(watcher, "job") == [job.id]
    assert changed_ids(watcher, "job") == []


def test_a_run_is_reported_for_each_batch_including_one_that_folds(job_run_and_owner):
    _, run, _ = job_run_and_owner
    watcher = DatabaseWatcher()
    assert changed_ids(watcher, "run") == []
    for seq in range(130):
        series.append(run.id, 1, "rank0", seq, [Point("loss", "run", seq, 1.0, 1.0)])
        assert changed_ids(watcher, "run") == [run.id], seq
    assert changed_ids(watcher, "run") == []
    series.close(run.id, 1)
    changed_ids(watcher, "run")
    assert changed_ids(watcher, "run") == []
    assert not watcher.newest_batch


def test_a_stream_that_opens_and_closes_between_two_polls_is_reported(job_run_and_owner):
    _, run, _ = job_run_and_owner
    watcher = DatabaseWatcher()
    watcher.changes()
    series.append(run.id, 1, "rank0", 0, [Point("loss", "run", 1, 1.0, 1.0)])
    series.close(run.id, 1)
    assert changed_ids(watcher, "run") == [run.id]


def test_pools_are_reported_when_a_device_was_read_or_leased(job_run_and_owner):
    watcher = DatabaseWatcher()
    node = Node.objects.create(id="n", name="n", pool=Pool.objects.get())
    device = Device.objects.create(id="d", node=node, index=0, kind="cpu", name="d")
    assert changed_ids(watcher, "pools") == []
    Device.objects.update(latest_at=timezone.now())
    assert changed_ids(watcher, "pools") == [""]
    device.delete()
    assert changed_ids(watcher, "pools") == [""]
    assert changed_ids(watcher, "pools") == []


def test_the_number_of_queries_does_not_grow_with_the_number_of_jobs(
    job_run_and_owner, django_assert_num_queries
):
    job, _, owner = job_run_and_owner
    watcher = DatabaseWatcher()
    watcher.changes()

    def poll_after_changes():
        for number, one in enumerate(Run.objects.all()):
            series.append(
                one.id, 1, f"rank{Job.objects.count()}", 0, [Point("loss", "run", number, 1.0, 1.0)]
            )
        Job.objects.update(waiting_reason=str(Job.objects.count()))
        with django_assert_num_queries(10):
            watcher.changes()

    poll_after_changes()
    for _ in range(5):
        other = Job.objects.create(
            team=job.team, owner=owner, pool=job.pool, name="j", spec={}, num_devices=1, num_steps=10
        )
        Run.objects.create(job=other, team=job.team, owner=owner, name="j")
    poll_after_changes()


def test_a_user_who_logs_out_or_is_deactivated_has_no_teams(job_run_and_owner):
    _, _, owner = job_run_and_owner
    browser = Client()
    browser.force_login(owner)
    key = browser.session.session_key
    assert live._teams_of_session(key) == frozenset(Team.objects.values_list("id", flat=True))
    Membership.objects.all().delete()
    assert live._teams_of_session(key) == frozenset()
    User.objects.update(is_active=False)
    assert live._teams_of_session(key) is None
    User.objects.update(is_active=True)
    browser.logout()
    assert live._teams_of_session(key) is None


def test_a_closed_listener_ends_its_stream(monkeypatch):
    monkeypatch.setattr(live, "HUB", SilentHub())

    async def body():
        stream = live._stream("key", frozenset([1]), ALL)
        messages = [await anext(stream)]
        (listener,) = live.HUB.listeners
        listener.close()
        return messages + [part async for part in stream]

    assert asyncio.run(body())[0] == b"retry: 2000\n\n"
    assert not live.HUB.listeners
