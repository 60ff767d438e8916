"""Cordon, drain, maintenance, retirement and missing heartbeats of nodes."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from jobs.agent import launch
from jobs.agent.loop import Agent
from jobs.lifecycle.node_transitions import move_device
from jobs.lifecycle.transitions import move_attempt
from jobs.models import Attempt, Job, Lease, Node, NodeEvent, Pool
from jobs.nodes import admin
from jobs.scheduler import loop
from jobs.states.jobs import AttemptState, JobState, StateError
from jobs.states.nodes import AdminState, DrainPolicy, Health
from tests.jobs.fake_supervisor import make_checkpoint, write_spool, write_state
from tests.jobs.placed_jobs import assign, newest_attempt
from tests.jobs.test_races import assert_consistent, run_at_once

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent(node, settings, monkeypatch) -> Agent:
    settings.NODE_DIR.mkdir()
    started: list = []
    monkeypatch.setattr(launch, "start", lambda directory, _: started.append(directory))
    found = Agent(node, settings.NODE_DIR)
    found.started = started  # type: ignore[attr-defined]
    return found


def running(agent: Agent, make_job, **values) -> tuple[Job, object]:
    job = make_job(**values)
    assign(job)
    agent.tick()
    write_state(agent.started[-1], "running")
    agent.tick()
    return job, agent.started[-1]


def node_now() -> Node:
    return Node.objects.get(id="node-a")


def free(job: Job) -> None:
    move_attempt(newest_attempt(job).id, AttemptState.STOPPED, actor="test")


def test_a_cordoned_node_gets_no_new_work_and_keeps_what_it_has(agent, make_job, node):
    first, directory = running(agent, make_job, devices=1)
    admin.cordon(node, "tom", "odd noises")
    second = make_job(devices=1)
    assert loop.schedule(second.pool) == 0
    agent.tick()
    assert directory.read_control() == "run"
    assert newest_attempt(first).state == AttemptState.RUNNING


def test_every_move_has_an_event_with_actor_reason_and_until(node):
    until = timezone.now() + timedelta(hours=1)
    admin.cordon(node, "tom", "odd noises", until)
    admin.uncordon(node, "ann", "it was the fan")
    events = NodeEvent.objects.values_list("kind", "actor", "text", "until")
    assert list(events) == [
        ("node.cordoned", "tom", "odd noises", until),
        ("node.open", "ann", "it was the fan", None),
    ]


def test_a_cordon_with_an_end_lifts_itself(node):
    admin.cordon(node, "tom", "cleaning", timezone.now() + timedelta(hours=1))
    admin.reconcile()
    assert node_now().is_cordoned
    Node.objects.update(admin_until=timezone.now() - timedelta(seconds=1))
    admin.reconcile()
    assert not node_now().is_cordoned
    assert "cleaning" in NodeEvent.objects.latest("id").text


class TestDraining:
    def test_to_finish_lets_jobs_end_by_themselves(self, agent, make_job, node):
        job, directory = running(agent, make_job)
        admin.drain(node, "tom", "new disks", DrainPolicy.FINISH)
        agent.tick()
        admin.reconcile()
        assert directory.read_control() == "run"
        assert node_now().admin_state == AdminState.DRAINING
        write_state(directory, "succeeded", "done")
        agent.tick()
        admin.reconcile()
        assert node_now().admin_state == AdminState.DRAINED
        assert Job.objects.get(id=job.id).state == JobState.SUCCEEDED

    def test_by_checkpoint_gives_jobs_back_to_the_queue(self, agent, make_job, node):
        job, directory = running(agent, make_job)
        write_spool(directory, make_checkpoint(directory, 40))
        admin.drain(node, "tom", "new disks", DrainPolicy.CHECKPOINT)
        agent.tick()
        assert directory.read_control() == "stop"
        write_state(directory, "stopped", "stopped on request")
        agent.tick()
        job.refresh_from_db()
        assert job.state == JobState.QUEUED
        assert job.waiting_reason == "Node a is being drained (new disks); resumes from step 40."
        admin.reconcile()
        assert node_now().admin_state == AdminState.DRAINED
        assert loop.schedule(job.pool) == 0

    def test_by_deadline_waits_first_and_stops_then(self, agent, make_job, node):
        _, directory = running(agent, make_job)
        admin.drain(node, "tom", "new disks", DrainPolicy.DEADLINE, timezone.now() + timedelta(hours=1))
        agent.tick()
        assert directory.read_control() == "run"
        Node.objects.update(admin_until=timezone.now() - timedelta(seconds=1))
        admin.reconcile()
        agent.tick()
        assert directory.read_control() == "stop"

    def test_by_deadline_needs_a_time(self, node):
        with pytest.raises(StateError, match="needs a time"):
            admin.drain(node, "tom", "new disks", DrainPolicy.DEADLINE)

    def test_an_attempt_that_no_agent_has_started_is_withdrawn(self, agent, make_job, node):
        job = make_job()
        assign(job)
        admin.drain(node, "tom", "new disks", DrainPolicy.CHECKPOINT)
        agent.tick()
        assert Job.objects.get(id=job.id).state == JobState.QUEUED
        assert not agent.started

    def test_uncordon_cancels_it(self, agent, make_job, node):
        _, directory = running(agent, make_job)
        admin.drain(node, "tom", "new disks", DrainPolicy.DEADLINE, timezone.now() + timedelta(hours=1))
        admin.uncordon(node, "tom")
        Node.objects.update(admin_until=timezone.now() - timedelta(seconds=1))
        admin.reconcile()
        agent.tick()
        assert directory.read_control() == "run"
        assert node_now().admin_state == AdminState.OPEN

    def test_twice_is_refused_with_the_reason_of_the_first(self, node):
        admin.drain(node, "tom", "new disks", DrainPolicy.FINISH)
        with pytest.raises(StateError, match=r"draining already \(new disks\)"):
            admin.drain(node, "ann", "other disks", DrainPolicy.CHECKPOINT)


def test_a_node_that_holds_a_job_is_neither_retired_nor_worked_on(agent, make_job, node):
    job, _ = running(agent, make_job)
    for verb in (admin.retire, admin.begin_maintenance):
        with pytest.raises(StateError, match=r"1 job runs on node a; drain it first"):
            verb(node, "tom", "sold")
    free(job)
    admin.cordon(node, "tom", "sold")
    assert admin.retire(node, "tom", "sold").admin_state == AdminState.RETIRED
    with pytest.raises(StateError, match="cannot become open"):
        admin.uncordon(node, "tom")


class TestHealth:
    def test_missing_heartbeats_are_recorded_once_until_the_next_heartbeat(self, agent):
        Node.objects.update(heartbeat_at=timezone.now() - timedelta(seconds=46))
        admin.mark_silent_nodes()
        admin.mark_silent_nodes()
        assert node_now().health == Health.UNREACHABLE
        agent._heartbeat_at = 0.0
        agent.tick()
        assert node_now().health == Health.OK
        assert list(NodeEvent.objects.values_list("kind", flat=True)) == ["health.unreachable", "health.ok"]

    def test_a_node_without_heartbeats_for_long_has_failed(self, node):
        Node.objects.update(heartbeat_at=timezone.now() - timedelta(seconds=601))
        admin.mark_silent_nodes()
        admin.mark_silent_nodes()
        assert node_now().health == Health.FAILED

    def test_a_suspect_node_gets_no_work_until_a_person_readmits_it(self, make_job, node):
        job = make_job()
        Node.objects.update(health=Health.SUSPECT)
        assert loop.schedule(job.pool) == 0
        assert admin.readmit(node, "tom").health == Health.OK
        assert loop.schedule(job.pool) == 1

    def test_a_suspect_device_gets_no_work_until_a_person_readmits_it(self, make_job, node):
        job = make_job(devices=2)
        assert move_device("a-1", "suspect", actor="agent:a", reason="two failures in a row")
        assert loop.schedule(job.pool) == 0
        admin.readmit(node, "tom", "burnt in")
        with pytest.raises(StateError, match="is suspect"):
            admin.readmit(node, "tom")
        assert loop.schedule(job.pool) == 1
        kinds = NodeEvent.objects.filter(device_id="a-1").values_list("kind", "actor")
        assert list(kinds) == [("device.suspect", "agent:a"), ("device.ok", "tom")]


class TestMarkedDevices:
    def test_a_failed_device_gets_no_work_until_a_person_marks_it_ok(self, make_job, node):
        job = make_job(devices=2)
        device = node.devices.get(index=1)
        assert admin.set_device_health(device, "failed", "tom", "smells").health == "failed"
        assert loop.schedule(job.pool) == 0
        admin.set_device_health(device, "ok", "tom", "replaced")
        assert loop.schedule(job.pool) == 1

    def test_running_attempts_on_the_device_continue(self, agent, make_job, node):
        job, directory = running(agent, make_job, devices=2)
        admin.set_device_health(node.devices.get(index=1), "failed", "tom", "smells")
        agent.tick()
        assert directory.read_control() == "run"
        assert newest_attempt(job).state == AttemptState.RUNNING

    def test_neither_a_program_nor_readmitting_the_node_changes_a_failed_device(self, node):
        device = node.devices.get(index=1)
        admin.set_device_health(device, "failed", "tom", "smells")
        assert not move_device(device.id, "suspect", actor="agent:a", reason="again", only_from=("ok",))
        with pytest.raises(StateError, match="is suspect"):
            admin.readmit(node, "tom")
        with pytest.raises(StateError, match="Device 1 of node a is failed already"):
            admin.set_device_health(device, "failed", "tom", "still")


@pytest.mark.parametrize(("free_", "held", "allocation"), [(2, 0, "idle"), (1, 1, "mixed"), (0, 2, "full")])
def test_allocation_follows_from_the_leases(free_, held, allocation):
    assert admin.get_allocation(free_, held) == allocation


class TestCommand:
    def test_lists_every_node(self, node, make_job):
        assign(make_job(devices=1))
        admin.cordon(node, "tom", "odd noises")
        out = StringIO()
        call_command("node", "list", "--json", stdout=out)
        line = json.loads(out.getvalue())
        assert (line["name"], line["admin_state"], line["allocation"], line["reason"]) == (
            "a", "cordoned", "mixed", "odd noises",
        )  # fmt: skip

    def test_drains_and_uncordons_and_prints_the_state(self, node):
        out = StringIO()
        call_command(
            "node", "drain", "a", "--reason", "new disks", "--hours", "1", "--user", "tom", stdout=out
        )
        assert out.getvalue() == "Node a is draining, ok.\n"
        assert node_now().drain_policy == DrainPolicy.DEADLINE
        call_command("node", "uncordon", "node-a", stdout=out)
        assert node_now().admin_state == AdminState.OPEN

    def test_needs_a_reason_and_an_existing_node(self, node):
        with pytest.raises(CommandError, match="A reason is required"):
            call_command("node", "cordon", "a")
        with pytest.raises(CommandError, match=r"no node 'z'. Known: a"):
            call_command("node", "cordon", "z", "--reason", "x")


@pytest.mark.django_db(transaction=True)
class TestRaces:
    def test_of_two_drains_at_once_one_wins(self, node):
        def drain(actor):
            try:
                return admin.drain(node, actor, actor, DrainPolicy.FINISH).admin_reason
            except StateError as error:
                return str(error)

        answers = run_at_once(*[lambda name=name: drain(name) for name in ("tom", "ann", "joe")])
        winner = node_now().admin_reason
        assert sorted(answers)[-1] == winner or winner in answers
        assert sum(answer == winner for answer in answers) == 1
        assert NodeEvent.objects.count() == 1

    def test_drain_against_start_never_leaves_a_drained_node_with_work(self, make_job, node):
        for _ in range(8):
            job = make_job()
            pool = Pool.objects.get()

            def empty():
                admin.drain(node, "tom", "disks", DrainPolicy.FINISH)
                admin.reconcile()

            run_at_once(empty, lambda pool=pool: loop.schedule(pool), admin.reconcile)
            assert_consistent()
            held = Lease.objects.filter(is_active=True).exists()
            assert not (held and node_now().admin_state == AdminState.DRAINED)
            for attempt in Attempt.objects.filter(state=AttemptState.ASSIGNED):
                move_attempt(attempt.id, AttemptState.STOPPED, actor="test")
            Job.objects.filter(id=job.id).delete()
            admin.reconcile()
            assert node_now().admin_state == AdminState.DRAINED
            admin.uncordon(node, "tom")
