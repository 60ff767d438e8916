"""Start of gangs on all their nodes, or on none."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from jobs.agent import launch
from jobs.agent.launch import LaunchError
from jobs.models import Attempt, Job, Lease
from jobs.queue import job_actions
from jobs.scheduler import gangs, loop
from jobs.states.jobs import AttemptNodeState, AttemptState, JobState
from tests.jobs.fake_supervisor import make_checkpoint, write_spool, write_state
from tests.jobs.placed_jobs import newest_attempt, states
from tests.jobs.scheduler.gangs.two_nodes import node_states

pytestmark = pytest.mark.django_db


def test_no_rank_starts_before_every_node_is_prepared(two_nodes, job):
    two_nodes.prepare("a")
    assert two_nodes.controls() == {"a": "prepare", "b": "prepare"}
    assert states(job) == (JobState.SCHEDULED, AttemptState.ASSIGNED)


def test_all_start_with_one_rank_map_once_every_node_is_prepared(two_nodes, job):
    two_nodes.prepare()
    two_nodes.tick()
    assert two_nodes.controls() == {"a": "run", "b": "run"}
    assert states(job) == (JobState.STARTING, AttemptState.STARTING)
    for name, ranks in (("a", [0, 1]), ("b", [2, 3])):
        placement = two_nodes.started[name].read_placement()
        assert (placement.master_addr, placement.master_port) == ("10.0.0.7", 29500)
        assert [(s.rank, s.local_rank) for s in placement.seats] == list(zip(ranks, [0, 1], strict=True))
        assert placement.world_size == 4
        assert placement.has_other_nodes
    assert [seat["rank"] for seat in newest_attempt(job).placement["seats"]] == [0, 1, 2, 3]


def test_a_restarted_agent_continues_its_attempts(two_nodes, job):
    two_nodes.prepare("a")
    two_nodes.restart("a")
    two_nodes.restart("b")
    write_state(two_nodes.started["b"], "armed")
    for _ in range(3):
        two_nodes.tick()
    assert two_nodes.controls() == {"a": "run", "b": "run"}


def test_checkpoints_of_all_nodes_go_to_one_folder(two_nodes, job, settings):
    two_nodes.tick()
    folders = {directory.checkpoints.resolve() for directory in two_nodes.started.values()}
    assert folders == {Path(settings.CHECKPOINT_ROOT) / f"{job.id}-1"}


def test_every_node_begins_with_the_weights_that_another_run_left_in_their_folder(
    two_nodes, job, owner, team, make_spec
):
    two_nodes.run()
    line = make_checkpoint(two_nodes.started["a"], 20)
    kept = two_nodes.started["a"].checkpoints.resolve() / line.text
    manifest = {"format": 2, "step": 20, "files": {}, "spec": job.spec, "layout": {}}
    (kept / "manifest.json").write_text(json.dumps(manifest))
    write_spool(two_nodes.started["a"], line)
    two_nodes.tick()
    two_nodes.all_report("succeeded", "All 200 steps were done.")
    two_nodes.tick()
    child = job_actions.submit(spec=make_spec(f"start_from={job.run.id}", devices=4), team=team, owner=owner)
    loop.schedule(child.pool)
    two_nodes.tick()
    assert child.spec["start_from"] == f"{job.run.id}@20"
    events = {directory.read_placement().start_from for directory in two_nodes.started.values()}
    assert events == {str(kept)}


def test_a_node_that_never_answers_breaks_the_gang_up_and_costs_no_retry(two_nodes, job):
    agent_b = two_nodes.agents.pop("b")
    two_nodes.prepare("a")
    Attempt.objects.update(assigned_at=timezone.now() - timedelta(seconds=61))
    gangs.reconcile()
    two_nodes.tick()
    assert two_nodes.controls() == {"a": "abort"}
    write_state(two_nodes.started["a"], "stopped", "the gang was broken up, before the ranks were started")
    two_nodes.tick()
    assert states(job) == (JobState.QUEUED, AttemptState.STOPPED)
    assert "node b was not ready within 60 s" in Job.objects.get().waiting_reason
    assert not Lease.objects.filter(is_active=True).exists()
    agent_b.tick()
    assert "b" not in two_nodes.started, "a late agent starts nothing"


def test_a_node_that_cannot_hold_its_devices_breaks_the_gang_up_at_once(two_nodes, job):
    two_nodes.prepare("a")
    write_state(two_nodes.started["b"], "failed", "device b-0 is still held")
    two_nodes.tick()
    two_nodes.tick()
    assert two_nodes.controls()["a"] == "abort"
    write_state(two_nodes.started["a"], "stopped", "the gang was broken up")
    two_nodes.tick()
    assert states(job) == (JobState.QUEUED, AttemptState.STOPPED)
    assert "node b: device b-0 is still held" in Job.objects.get().waiting_reason


def test_a_job_whose_gang_never_starts_fails_in_the_end(two_nodes, job, monkeypatch):
    def refuse(*_):
        raise LaunchError("No memory.")

    monkeypatch.setattr(launch, "start", refuse)
    for _ in range(gangs.PREPARE_FAILURE_LIMIT):
        assert states(job)[0] == JobState.SCHEDULED
        two_nodes.tick()
        gangs.reconcile()
        loop.schedule(job.pool)
    assert states(job)[0] == JobState.FAILED
    assert "No memory. (5 times in a row)" in Job.objects.get().reason


def test_a_gang_waits_for_a_held_device_any_number_of_times(two_nodes, job):
    for _ in range(2 * gangs.PREPARE_FAILURE_LIMIT):
        assert states(job)[0] == JobState.SCHEDULED
        two_nodes.prepare("a")
        write_state(two_nodes.started["b"], "failed", "device b-0 is still held", cause="device_held")
        two_nodes.tick()
        write_state(two_nodes.started["a"], "stopped", "the gang was broken up")
        two_nodes.tick()
        assert states(job)[0] == JobState.QUEUED
        loop.schedule(job.pool)


def test_a_cancelled_gang_ends(two_nodes, job):
    two_nodes.prepare("a")
    job_actions.cancel(job, actor="tom")
    two_nodes.tick()
    assert two_nodes.controls() == {"a": "abort", "b": "abort"}
    two_nodes.all_report("stopped", "the gang was broken up")
    two_nodes.tick()
    assert states(job) == (JobState.CANCELLED, AttemptState.STOPPED)
    assert node_states(job) == [AttemptNodeState.STOPPED] * 2
