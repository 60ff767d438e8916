"""One node ends all: success, failure, silence, cancel and leaving of a gang."""

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
from tests.jobs.fake_supervisor import DEAD_PID, checkpoint, report, say, step
from tests.jobs.placed_jobs import attempt_of, states
from tests.jobs.scheduler.gangs.two_nodes import parts

pytestmark = pytest.mark.django_db


def test_the_attempt_succeeds_when_the_last_node_has(played, job):
    played.run()
    assert states(job) == (JobState.STARTING, AttemptState.RUNNING)
    report(played.started["a"], "succeeded", "All 200 steps were done.")
    played.tick()
    assert states(job)[1] == AttemptState.RUNNING
    report(played.started["b"], "succeeded", "All 200 steps were done.")
    played.tick()
    assert states(job) == (JobState.SUCCEEDED, AttemptState.SUCCEEDED)
    assert not Lease.objects.filter(is_active=True).exists()


def test_a_node_that_fails_stops_the_others_and_is_the_one_to_blame(played, job):
    played.run()
    report(played.started["b"], "failed", "rank 2 was killed by SIGKILL", stderr_tail=("boom",))
    played.lose_peers("a")
    played.tick()
    assert states(job) == (JobState.FAILED, AttemptState.FAILED)
    assert Job.objects.get().reason == "rank 2 was killed by SIGKILL (node b)"
    assert attempt_of(job).stderr_tail == "boom"


def test_within_a_tick_of_a_failure_every_other_node_is_told(played, job):
    played.run()
    report(played.started["b"], "failed", "rank 2 was killed by SIGKILL")
    played.agents["b"].tick()
    played.agents["a"].tick()
    assert played.controls()["a"] == "abort"


def test_a_node_that_falls_silent_after_its_peers_failed_is_lost_and_costs_no_retry(played, job):
    played.run()
    say(played.started["a"], step(7), checkpoint(played.started["a"], 5))
    silent = played.agents.pop("b")
    played.lose_peers("a")
    played.tick()
    gangs.reconcile()
    assert states(job)[1] == AttemptState.RUNNING, "its node may only be slow to report"
    Node.objects.filter(id=silent.node.id).update(heartbeat_at=timezone.now() - timedelta(seconds=46))
    gangs.reconcile()
    assert states(job) == (JobState.QUEUED, AttemptState.LOST)
    assert "resumes from step 5" in Job.objects.get().waiting_reason
    assert parts(job) == [AttemptNodeState.FAILED, AttemptNodeState.LOST]


def test_a_short_silence_of_one_agent_stops_nobody(played, job):
    played.run()
    Node.objects.filter(id="node-b").update(heartbeat_at=timezone.now() - timedelta(seconds=300))
    gangs.reconcile()
    played.agents["a"].tick()
    assert played.controls() == {"a": "run", "b": "run"}


def test_a_node_silent_for_long_is_given_up_and_told_to_stop_when_it_comes_back(played, job):
    played.run()
    Node.objects.filter(id="node-b").update(heartbeat_at=timezone.now() - timedelta(seconds=601))
    gangs.reconcile()
    played.agents["a"].tick()
    assert played.controls()["a"] == "abort"
    report(played.started["a"], "stopped", "the gang was broken up")
    played.agents["a"].tick()
    assert states(job) == (JobState.QUEUED, AttemptState.LOST)
    played.restart("b")
    played.agents["b"].tick()
    assert played.controls()["b"] == "stop"


def test_a_dead_supervisor_on_one_node_ends_the_gang(played, job):
    played.run()
    report(played.started["b"], "running", pid=DEAD_PID)
    played.agents["b"].tick()
    played.agents["a"].tick()
    assert played.controls()["a"] == "abort"


def test_a_cancel_reaches_every_node(played, job):
    played.run()
    job_actions.cancel(job, actor="tom", reason="Enough.")
    played.tick()
    assert played.controls() == {"a": "stop", "b": "stop"}
    played.all_report("stopped", "stopped on request")
    played.tick()
    assert states(job) == (JobState.CANCELLED, AttemptState.STOPPED)
    assert Job.objects.get().reason == "Enough."


def test_a_node_that_leaves_gives_the_whole_job_back_to_the_queue(played, job):
    played.run()
    played.agents["b"].stop_reason = "Interrupted by shutdown"
    played.agents["b"].tick()
    assert played.controls() == {"a": "run", "b": "stop"}, "the ranks agree at a step border"
    played.all_report("stopped", "Stopped on request after step 7 of 200.")
    played.agents["b"].tick()
    played.agents["a"].tick()
    assert states(job) == (JobState.QUEUED, AttemptState.STOPPED)


def test_what_every_node_spools_arrives_once_under_its_own_name(played, job):
    played.run()
    for name, directory in played.started.items():
        rank = 0 if name == "a" else 2
        say(directory, step(1) if name == "a" else b"", file=f"rank{rank}.jsonl")
        say(
            directory,
            b'{"k":"note","at":1.0,"source":"run","text":"of %s"}\n' % name.encode(),
            file="supervisor.jsonl",
        )
    played.tick()
    played.tick()
    notes = job.events.filter(kind="note.info").values_list("text", flat=True)
    assert sorted(notes) == ["of a", "of b"]
    assert Job.objects.get().step == 1


def test_the_next_attempt_resumes_from_the_shared_checkpoint_on_other_nodes(
    played, job, make_node, settings, tmp_path
):
    played.run()
    say(played.started["a"], checkpoint(played.started["a"], 20))
    played.tick()
    played.all_report("stopped", "the agent went silent")
    played.tick()
    assert states(job)[0] == JobState.QUEUED
    Device.objects.filter(node_id="node-a").update(is_present=False)
    facts = {"checkpoint_root": settings.CHECKPOINT_ROOT}
    played.agents["c"] = Agent(make_node("c", devices=2, facts=facts), tmp_path / "c")
    played.agents["c"].node_dir.mkdir()
    del played.started["a"]
    loop.schedule(job.pool)
    played.arm("b", "c")
    played.tick()
    expected = Path(settings.CHECKPOINT_ROOT) / f"{job.id}-1" / "step-00000020"
    assert played.started["c"].read_placement().resume_from == str(expected)
    assert attempt_of(job).resumed_from == str(expected)
