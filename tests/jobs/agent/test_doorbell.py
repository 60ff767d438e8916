"""Doorbell messages, sent until the attempt is claimed.

The agent also works without them, by polling.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from django.db import connection
from django.utils import timezone
from kombu.exceptions import OperationalError

from fourwalls.system import procfs
from jobs import broker
from jobs.agent import doorbell, launch
from jobs.agent.launch import Launched
from jobs.agent.loop import Agent
from jobs.celery import app, node_queue
from jobs.lifecycle.transitions import move_attempt
from jobs.models import Attempt, Job
from jobs.scheduler import dispatch, loop
from jobs.scheduler.dispatch import Dispatcher
from jobs.scheduler.loop import Scheduler
from jobs.states.jobs import FINAL, JobState
from jobs.tasks import wakeup

# Fake supervisor of one attempt: two steps, then success.
SUPERVISOR = textwrap.dedent("""
    import sys, time
    from engine.directory import AttemptDirectory
    from tests.jobs.fake_supervisor import step_line, write_spool, write_state
    directory = AttemptDirectory(sys.argv[1])
    write_state(directory, "running")
    write_spool(directory, step_line(1), step_line(2))
    write_state(directory, "succeeded", "every rank finished")
""")


@pytest.fixture
def rung() -> list[int]:
    return []


@pytest.fixture
def dispatcher(rung) -> Dispatcher:
    return Dispatcher(publish=lambda node, attempt: rung.append(attempt))


@pytest.fixture
def assigned(make_job) -> Attempt:
    job = make_job()
    loop.schedule(job.pool)
    return job.attempts.get()


def test_a_message_is_sent_for_an_assigned_attempt(assigned, dispatcher, rung):
    assert dispatcher.ring_all() == 1
    assert rung == [assigned.id]


def test_the_message_is_repeated_only_after_a_pause(assigned, dispatcher, rung):
    dispatcher.ring_all()
    dispatcher.ring_all()
    assert len(rung) == 1
    Attempt.objects.update(rung_at=timezone.now() - timedelta(seconds=3))
    dispatcher.ring_all()
    assert len(rung) == 2


def test_no_message_is_sent_for_a_claimed_attempt(assigned, dispatcher, rung):
    move_attempt(assigned.id, "starting", actor="agent")
    dispatcher.ring_all()
    assert not rung


def test_a_broker_that_is_away_is_logged_once_and_retried_after_a_pause(assigned, caplog):
    calls = []

    def fail(node: str, attempt: int) -> None:
        calls.append(attempt)
        raise OperationalError("connection refused")

    dispatcher = Dispatcher(publish=fail)
    with caplog.at_level(logging.WARNING, "jobs.scheduler.dispatch"):
        for _ in range(3):
            Attempt.objects.update(rung_at=None)
            assert dispatcher.ring_all() == 0
        assert len(calls) == 1
        dispatcher._retry_at = 0.0
        dispatcher.ring_all()
    assert len(calls) == 2
    assert len(caplog.records) == 1


@pytest.mark.parametrize("url", ["redis+socket:///nowhere/broker.sock", "redis://127.0.0.1:1/0"])
def test_publishing_to_a_missing_broker_fails_without_retries(url, monkeypatch):
    def no_second_try(seconds: float) -> None:
        raise AssertionError(f"waits {seconds} s for another try")

    monkeypatch.setattr("kombu.utils.functional.sleep", no_second_try)
    use_broker(monkeypatch, url)
    with pytest.raises((OperationalError, OSError)):
        dispatch.publish("n1", 1)


def test_a_message_contains_only_the_attempt_id(monkeypatch):
    sent = {}
    monkeypatch.setattr(app, "send_task", lambda name, **options: sent.update(options, name=name))
    dispatch.publish("n1", 7)
    assert (sent["name"], sent["args"], sent["queue"].name, sent["expires"]) == (
        "jobs.ring",
        [7],
        "node.n1",
        60,
    )


def test_only_json_is_accepted_and_remote_control_is_disabled():
    assert app.conf.accept_content == ["json"]
    assert not app.conf.worker_enable_remote_control
    assert (
        app.conf.task_acks_late and app.conf.task_reject_on_worker_lost and app.conf.worker_disable_prefetch
    )


def use_broker(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    app.pool.force_close_all()
    monkeypatch.setitem(app.conf, "broker_url", url)
    for name in ("broker_read_url", "broker_write_url"):
        monkeypatch.setitem(app.conf, name, url)


@pytest.fixture
def valkey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An embedded broker on its own socket, used by the app."""
    socket = tmp_path / "b" / "broker.sock"
    server = subprocess.Popen(broker.build_command(socket), stdout=subprocess.DEVNULL)
    try:
        broker.wait_until_ready(socket)
        use_broker(monkeypatch, f"redis+socket://{socket}")
        yield socket
    finally:
        server.kill()
        server.wait()


def with_worker(node_id: str, body: threading.Thread, limit_s: float = 60.0) -> None:
    """Run the Celery worker in this (main) thread until `body` has ended."""
    stop = threading.Event()

    def hang_up_at_the_end() -> None:
        body.join(limit_s)
        doorbell.request_stop(stop)

    body.start()
    watcher = threading.Thread(target=hang_up_at_the_end)
    watcher.start()
    doorbell.listen(node_id, stop)
    watcher.join()
    doorbell.state.should_stop = None
    assert not body.is_alive()


@pytest.mark.services
def test_a_message_through_a_real_broker_wakes_only_its_node(valkey):
    wakeup.clear()
    woken = []
    dispatch.publish("other", 1)
    dispatch.publish("n1", 2)
    with_worker("n1", threading.Thread(target=lambda: woken.append(wakeup.wait(30))))
    assert woken == [True]
    client = redis.Redis(unix_socket_path=str(valkey))
    waiting = {
        key.decode(): client.llen(key) for key in client.keys("*node.*") if client.type(key) == b"list"
    }
    assert list(waiting.values()) == [1] and "node.other" in next(iter(waiting))
    assert node_queue("other").name == "node.other"


@pytest.mark.services
@pytest.mark.django_db(transaction=True)
def test_from_submit_to_success_over_celery_and_a_real_broker(
    valkey, node, make_job, settings, monkeypatch, tmp_path
):
    """All parts are real except the supervisor, which is a process that runs the fake one."""
    script = tmp_path / "supervisor.py"
    script.write_text(SUPERVISOR)

    def start(directory, fork_supervisor):
        child = subprocess.Popen([sys.executable, str(script), str(directory.path)], env={"PYTHONPATH": "."})
        return Launched(child.pid, procfs.stat(child.pid).started_ticks, child)

    monkeypatch.setattr(launch, "start", start)
    monkeypatch.setattr("jobs.agent.loop.IDLE_TICK_S", 30.0)  # without the doorbell this test would take 30 s
    settings.NODE_DIR.mkdir()
    wakeup.clear()
    job = make_job()
    stop, began = threading.Event(), time.monotonic()

    def run(body) -> None:
        try:
            body()
        finally:
            connection.close()

    def follow() -> None:
        while time.monotonic() - began < 25 and Job.objects.get(id=job.id).state not in FINAL:
            time.sleep(0.05)
        stop.set()
        wakeup.set()

    agent = Agent(node, settings.NODE_DIR, wakeup)
    sides = [
        threading.Thread(target=run, args=(lambda: agent.run(stop, stops_attempts=False),)),
        threading.Thread(target=run, args=(lambda: Scheduler().run(stop),)),
    ]
    sides[0].start()
    while agent._heartbeat_at == 0.0:  # after its first tick only the doorbell wakes it in time
        time.sleep(0.01)
    sides[1].start()
    with_worker(node.id, threading.Thread(target=run, args=(follow,)))
    for side in sides:
        side.join()
    job.refresh_from_db()
    assert (job.state, job.step) == (JobState.SUCCEEDED, 2)
    assert job.run.metrics.get(key="loss").last == 2.0
