"""Heartbeat, lease, restart after kill -9, and shutdown of the agent."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import OperationalError
from django.utils import timezone

from jobs.agent import launch
from jobs.agent.loop import Agent, lease_s
from jobs.models import Attempt, Job, Node
from jobs.nodes import admin
from jobs.scheduler import loop
from jobs.states.jobs import AttemptState, JobState
from jobs.states.nodes import Health
from tests.jobs.fake_supervisor import make_checkpoint, step_line, write_spool, write_state
from tests.jobs.placed_jobs import assign, newest_attempt, states

pytestmark = pytest.mark.django_db


def restarted(agent: Agent) -> Agent:
    """Return the agent after kill -9: a new one, with only the database and the disk."""
    return Agent(Node.objects.get(id=agent.node.id), agent.node_dir)


def test_the_lease_is_renewed_only_with_a_heartbeat(agent, claimed, settings):
    _, directory = claimed
    write_state(directory, "running")
    agent.tick()
    directory.write_lease(5.0)
    agent.tick()
    assert directory.read_lease() == 5.0  # no heartbeat was due
    agent._heartbeat_at = 0.0
    agent.tick()
    assert directory.read_lease() == pytest.approx(time.time() + lease_s(), abs=30)


def test_lease_and_grace_period_fit_into_the_reassign_time(settings):
    margin_s = settings.REASSIGN_AFTER_S - lease_s() - settings.STOP_GRACE_S
    assert margin_s >= settings.REASSIGN_AFTER_S / 10


def test_the_heartbeat_is_written(agent):
    Node.objects.update(heartbeat_at=None)
    agent.tick()
    assert timezone.now() - Node.objects.get().heartbeat_at < timedelta(seconds=30)
    assert (agent.node_dir / "agent.alive").exists()


def test_after_kill_nine_the_agent_follows_its_attempts_again(agent, claimed, started):
    job, directory = claimed
    write_state(directory, "running")
    write_spool(directory, step_line(1))
    agent.tick()
    write_spool(directory, step_line(2))
    later = restarted(agent)
    later.tick()
    assert states(job) == (JobState.RUNNING, AttemptState.RUNNING)
    assert Job.objects.get().step == 2
    assert len(started) == 1
    write_state(directory, "succeeded", "done")
    later.tick()
    assert states(job)[0] == JobState.SUCCEEDED


def test_a_job_returns_to_the_queue_if_the_agent_dies_before_the_start(agent, started, make_job):
    job = make_job()
    directory = launch.prepare(assign(job), agent.node_dir, time.time() + 60)
    later = restarted(agent)
    later.tick()
    assert states(job)[0] == JobState.STARTING  # the supervisor may still write its first state
    Attempt.objects.update(started_at=timezone.now() - timedelta(seconds=31))
    later.tick()
    assert states(job) == (JobState.QUEUED, AttemptState.STOPPED)
    assert directory.read_control() == "stop"  # for a supervisor that starts late


def test_the_supervisor_of_a_lost_attempt_is_stopped(agent, claimed):
    job, directory = claimed
    write_state(directory, "running")
    Node.objects.update(heartbeat_at=timezone.now() - timedelta(hours=1))
    loop.reclaim_lost_attempts()
    restarted(agent).tick()
    assert directory.read_control() == "stop"
    assert states(job) == (JobState.QUEUED, AttemptState.LOST)


def test_attempts_are_stopped_and_their_jobs_return_to_the_queue(agent, claimed, monkeypatch):
    job, directory = claimed
    write_state(directory, "running")
    write_spool(directory, make_checkpoint(directory, 40))

    def pause(seconds: float) -> None:
        assert directory.read_control() == "stop"
        write_state(directory, "stopped", "stopped on request")

    monkeypatch.setattr("jobs.agent.loop.time.sleep", pause)
    agent._stop_attempts()
    job.refresh_from_db()
    assert job.state == JobState.QUEUED
    assert job.waiting_reason == "Interrupted by shutdown; resumes from step 40."
    assert Node.objects.get().heartbeat_at is None


@pytest.mark.parametrize("is_last_tick_whole", [True, False])
def test_attempts_are_stopped_without_the_database_and_the_next_agent_reports_it(
    agent, claimed, monkeypatch, is_last_tick_whole
):
    job, directory = claimed
    write_state(directory, "running")
    write_spool(directory, make_checkpoint(directory, 40))
    agent.tick()
    if not is_last_tick_whole:
        agent._live.clear()  # the database went away in the middle of a tick
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        assert directory.read_control() == "stop"
        if len(pauses) == 3:
            write_state(directory, "stopped", "stopped on request")

    def fail(*_: object, **__: object) -> None:
        raise OperationalError("no route to host")

    with monkeypatch.context() as patch:
        patch.setattr("jobs.agent.loop.time.sleep", pause)
        patch.setattr(agent, "tick", fail)
        patch.setattr(agent, "_set_heartbeat", lambda _: None)
        patch.setattr("jobs.agent.loop.close_old_connections", lambda: None)
        agent._stop_attempts()
    assert len(pauses) == 3
    assert states(job)[1] == AttemptState.RUNNING
    restarted(agent).tick()
    job.refresh_from_db()
    assert job.state == JobState.QUEUED
    assert job.waiting_reason.endswith("resumes from step 40.")


def test_no_new_work_is_placed_or_started_during_shutdown(agent, started, make_job):
    first, second = make_job(devices=1), make_job(devices=1)
    assign(first)
    agent._stop_attempts()
    assert not started
    assert loop.schedule(second.pool) == 0
    assert newest_attempt(first).state == AttemptState.ASSIGNED


@pytest.mark.parametrize("stops_attempts", [True, False])
def test_a_node_whose_agent_was_stopped_says_so_until_it_starts_again(
    agent, settings, stops_attempts, make_job
):
    stop = threading.Event()
    stop.set()
    agent.run(stop, stops_attempts)
    node = Node.objects.get()
    assert (node.health, node.health_reason) == (Health.STOPPED, "The agent of this node was stopped.")
    out = StringIO()
    call_command("node", "list", stdout=out)
    assert "open  stopped  idle" in out.getvalue()
    Node.objects.update(heartbeat_at=timezone.now() - timedelta(days=9))
    job = make_job()
    assert loop.schedule(job.pool) == 0
    assert "1 stopped" in Job.objects.get().waiting_reason
    admin.mark_silent_nodes()
    assert Node.objects.get().health == Health.STOPPED, "it is not silent"
    restarted(agent).tick()
    assert Node.objects.get().health == Health.OK


@pytest.mark.parametrize(
    ("state", "health", "shown"),
    [
        ("open", "ok", "unreachable"), ("open", "stopped", "stopped"), ("open", "failed", "failed"),
        ("retired", "ok", "ok"), ("drained", "suspect", "unreachable"),
    ],
)  # fmt: skip
def test_a_node_without_heartbeats_is_never_listed_as_ok_unless_it_is_retired(node, state, health, shown):
    Node.objects.update(heartbeat_at=timezone.now() - timedelta(days=9), admin_state=state, health=health)
    out = StringIO()
    call_command("node", "list", stdout=out)
    assert f"{state}  {shown}  idle" in out.getvalue()
