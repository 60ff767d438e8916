"""Ends of gangs: success, failure, missing heartbeats, cancel and shutdown."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from jobs.agent.loop import Agent
from jobs.models import Device, Job, Lease, Node
from jobs.queue import job_actions
from jobs.scheduler import gangs, loop
from jobs.states.jobs import AttemptNodeState, AttemptState, JobState
from tests.jobs.fake_supervisor import DEAD_PID, make_checkpoint, step_line, write_spool, write_state
from tests.jobs.placed_jobs import newest_attempt, states
from tests.jobs.scheduler.gangs.two_nodes import node_states

pytestmark = pytest.mark.django_db


def test_the_attempt_succeeds_when_the_last_node_has(two_nodes, job):
    two_nodes.run()
    assert states(job) == (JobState.STARTING, AttemptState.RUNNING)
    write_state(two_nodes.started["a"], "succeeded", "All 200 steps were done.")
    two_nodes.tick()
    assert states(job)[1] == AttemptState.RUNNING
    write_state(two_nodes.started["b"], "succeeded", "All 200 steps were done.")
    two_nodes.tick()
    assert states(job) == (JobState.SUCCEEDED, AttemptState.SUCCEEDED)
    assert not Lease.objects.filter(is_active=True).exists()


def test_a_node_that_fails_stops_the_others_and_is_the_root_cause(two_nodes, job):
    two_nodes.run()
    write_state(two_nodes.started["b"], "failed", "rank 2 was killed by SIGKILL", stderr_tail=("boom",))
    two_nodes.lose_peers("a")
    two_nodes.tick()
    assert states(job) == (JobState.FAILED, AttemptState.FAILED)
    assert Job.objects.get().reason == "rank 2 was killed by SIGKILL (node b)"
    assert newest_attempt(job).stderr_tail == "boom"


def test_within_a_tick_of_a_failure_every_other_node_aborts(two_nodes, job):
    two_nodes.run()
    write_state(two_nodes.started["b"], "failed", "rank 2 was killed by SIGKILL")
    two_nodes.agents["b"].tick()
    two_nodes.agents["a"].tick()
    assert two_nodes.controls()["a"] == "abort"


def test_a_node_without_heartbeats_after_its_peers_failed_is_lost_and_costs_no_retry(two_nodes, job):
    two_nodes.run()
    write_spool(two_nodes.started["a"], step_line(7), make_checkpoint(two_nodes.started["a"], 5))
    silent = two_nodes.agents.pop("b")
    two_nodes.lose_peers("a")
    two_nodes.tick()
    gangs.reconcile()
    assert states(job)[1] == AttemptState.RUNNING, "its node may only be slow to report"
    Node.objects.filter(id=silent.node.id).update(heartbeat_at=timezone.now() - timedelta(seconds=46))
    gangs.reconcile()
    assert states(job) == (JobState.QUEUED, AttemptState.LOST)
    assert "resumes from step 5" in Job.objects.get().waiting_reason
    assert node_states(job) == [AttemptNodeState.FAILED, AttemptNodeState.LOST]


def test_a_few_missing_heartbeats_stop_no_node(two_nodes, job):
    two_nodes.run()
    Node.objects.filter(id="node-b").update(heartbeat_at=timezone.now() - timedelta(seconds=300))
    gangs.reconcile()
    two_nodes.agents["a"].tick()
    assert two_nodes.controls() == {"a": "run", "b": "run"}


def test_a_node_without_heartbeats_for_long_is_lost_and_stopped_when_it_returns(two_nodes, job):
    two_nodes.run()
    Node.objects.filter(id="node-b").update(heartbeat_at=timezone.now() - timedelta(seconds=601))
    gangs.reconcile()
    two_nodes.agents["a"].tick()
    assert two_nodes.controls()["a"] == "abort"
    write_state(two_nodes.started["a"], "stopped", "the gang was broken up")
    two_nodes.agents["a"].tick()
    assert states(job) == (JobState.QUEUED, AttemptState.LOST)
    two_nodes.restart("b")
    two_nodes.agents["b"].tick()
    assert two_nodes.controls()["b"] == "stop"


def test_a_dead_supervisor_on_one_node_ends_the_gang(two_nodes, job):
    two_nodes.run()
    write_state(two_nodes.started["b"], "running", pid=DEAD_PID)
    two_nodes.agents["b"].tick()
    two_nodes.agents["a"].tick()
    assert two_nodes.controls()["a"] == "abort"


def test_a_cancel_reaches_every_node(two_nodes, job):
    two_nodes.run()
    job_actions.cancel(job, actor="tom", reason="Enough.")
    two_nodes.tick()
    assert two_nodes.controls() == {"a": "stop", "b": "stop"}
    two_nodes.all_report("stopped", "stopped on request")
    two_nodes.tick()
    assert states(job) == (JobState.CANCELLED, AttemptState.STOPPED)
    assert Job.objects.get().reason == "Enough."


def test_a_node_that_shuts_down_returns_the_whole_job_to_the_queue(two_nodes, job):
    two_nodes.run()
    two_nodes.agents["b"].stop_reason = "Interrupted by shutdown"
    two_nodes.agents["b"].tick()
    assert two_nodes.controls() == {"a": "run", "b": "stop"}, "the ranks agree at a step boundary"
    two_nodes.all_report("stopped", "Stopped on request after step 7 of 200.")
    two_nodes.agents["b"].tick()
    two_nodes.agents["a"].tick()
    assert states(job) == (JobState.QUEUED, AttemptState.STOPPED)


def test_the_spool_of_every_node_is_stored_once_under_its_own_name(two_nodes, job):
    two_nodes.run()
    for name, directory in two_nodes.started.items():
        rank = 0 if name == "a" else 2
        write_spool(directory, step_line(1) if name == "a" else b"", file=f"rank{rank}.jsonl")
        write_spool(
            directory,
            b'{"k":"note","at":1.0,"source":"run","text":"of %s"}\n' % name.encode(),
            file="supervisor.jsonl",
        )
    two_nodes.tick()
    two_nodes.tick()
    notes = job.events.filter(kind="note.info").values_list("text", flat=True)
    assert sorted(notes) == ["of a", "of b"]
    assert Job.objects.get().step == 1


def test_the_next_attempt_resumes_from_the_shared_checkpoint_on_other_nodes(
    two_nodes, job, make_node, settings, tmp_path
):
    two_nodes.run()
    write_spool(two_nodes.started["a"], make_checkpoint(two_nodes.started["a"], 20))
    two_nodes.tick()
    two_nodes.all_report("stopped", "the agent went silent")
    two_nodes.tick()
    assert states(job)[0] == JobState.QUEUED
    Device.objects.filter(node_id="node-a").update(is_present=False)
    facts = {"checkpoint_root": settings.CHECKPOINT_ROOT}
    two_nodes.agents["c"] = Agent(make_node("c", devices=2, facts=facts), tmp_path / "c")
    two_nodes.agents["c"].node_dir.mkdir()
    two_nodes.agents["c"].tick()  # reports the id of the shared root
    del two_nodes.started["a"]
    loop.schedule(job.pool)
    two_nodes.prepare("b", "c")
    two_nodes.tick()
    expected = Path(settings.CHECKPOINT_ROOT) / f"{job.id}-1" / "step-00000020"
    assert two_nodes.started["c"].read_placement().resume_from == str(expected)
    assert newest_attempt(job).resumed_from == f"{job.id}-1/step-00000020"
