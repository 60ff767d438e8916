"""Launch of assigned attempts: the directory, the supervisor, failures."""

from __future__ import annotations

import json
import time

import msgspec
import pytest
from django.utils import timezone

from engine.spec.spec import parse
from jobs.agent import launch
from jobs.agent.launch import LaunchError
from jobs.agent.resuming import Sources
from jobs.models import Checkpoint, Job, Node
from jobs.queue import job_actions
from jobs.scheduler import loop
from jobs.states.jobs import AttemptState, JobState
from tests.jobs.fake_supervisor import make_checkpoint, write_spool, write_state
from tests.jobs.placed_jobs import assign, newest_attempt, states

pytestmark = pytest.mark.django_db


def test_an_assigned_attempt_is_found_by_polling_when_the_doorbell_is_lost(agent, started, make_job):
    job = make_job()
    assign(job)
    agent.tick()
    assert [d.path.name for d in started] == [f"{job.id}-1"]
    assert states(job) == (JobState.STARTING, AttemptState.STARTING)


def test_the_directory_holds_all_that_a_supervisor_needs(agent, started, make_job, settings):
    job = make_job("model.layers=2", "parallel.stages=2", devices=1)
    assign(job)
    agent.tick()
    directory = started[0]
    assert directory.read_spec().model_dump() == job.spec
    assert (
        json.loads((directory.path / "plan.json").read_text())["num_parameters"] == job.plan["num_parameters"]
    )
    placement = directory.read_placement()
    assert [(s.rank, s.device, s.stage, s.data_rank) for s in placement.seats] == [
        (0, "a-0", 0, 0),
        (1, "a-1", 1, 0),
    ]
    assert (placement.world_size, placement.threads_per_rank, placement.master_port) == (2, 1, 0)
    assert placement.resume_from is None
    assert directory.read_control() == "run"
    assert directory.read_lease() > time.time() + 300
    assert newest_attempt(job).placement == json.loads(msgspec.json.encode(placement))


def test_data_parallel_ranks_of_one_stage_are_adjacent(agent, started, make_node, make_job):
    make_node("b", devices=4)
    job = make_job("parallel.stages=2", devices=2)
    loop.schedule(job.pool)
    attempt = newest_attempt(job)
    placement = launch.build_placement(attempt, parse(job.spec), agent.node_dir, Sources())
    assert [(s.stage, s.data_rank) for s in placement.seats] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_a_second_tick_starts_nothing_twice(agent, claimed, started):
    agent.tick()
    assert len(started) == 1


def test_the_next_attempt_resumes_from_the_newest_complete_checkpoint(agent, started, make_job):
    job = make_job()
    assign(job)
    agent.tick()
    first = started[0]
    write_spool(first, make_checkpoint(first, 10), make_checkpoint(first, 20))
    (first.checkpoints / "step-00000030").mkdir()  # incomplete
    write_state(first, "failed", "boom")
    agent.tick()
    job_actions.retry(job, actor="tom")
    assign(job)
    agent.tick()
    newest = str(first.checkpoints / "step-00000020")
    assert started[1].read_placement().resume_from == newest
    assert started[1].read_placement().older_checkpoints == (str(first.checkpoints / "step-00000010"),)
    assert newest_attempt(job).resumed_from == f"attempts/{job.id}-1/checkpoints/step-00000020"


def test_a_job_waits_while_its_only_checkpoint_lies_on_a_node_that_does_not_answer(
    agent, started, make_node, make_job
):
    elsewhere, job = make_node("b", devices=2), make_job()
    first = job.attempts.create(number=1, node=elsewhere, state="lost", directory=f"attempts/{job.id}-1")
    Checkpoint.objects.create(
        run=job.run, attempt=first, step=50, path=f"{first.directory}/checkpoints/step-00000050",
        saved_at=timezone.now(),
    )  # fmt: skip
    Job.objects.update(attempt_number=1)
    Node.objects.filter(id=elsewhere.id).update(heartbeat_at=None)
    loop.schedule(job.pool)
    agent.tick()
    waiting = Job.objects.get()
    assert (started, waiting.state, waiting.attempt_number) == ([], JobState.QUEUED, 1)
    assert waiting.waiting_for["code"] == "CHECKPOINT_AWAY"
    assert "(step 50) lies on node b, which is unreachable" in waiting.waiting_reason


def test_a_supervisor_that_cannot_be_started_fails_the_attempt_with_the_reason(agent, make_job, monkeypatch):
    def refuse(*_):
        raise LaunchError("The supervisor cannot be started: no memory.")

    monkeypatch.setattr(launch, "start", refuse)
    job = make_job()
    assign(job)
    agent.tick()
    assert states(job) == (JobState.QUEUED, AttemptState.FAILED)
    assert "no memory" in Job.objects.get().waiting_reason


def test_a_folder_that_cannot_be_written_fails_the_attempt_with_the_reason(agent, make_job):
    (agent.node_dir / "attempts").write_text("a file where a folder should be")
    job = make_job()
    assign(job)
    agent.tick()
    assert states(job) == (JobState.QUEUED, AttemptState.FAILED)
    assert "cannot be written" in newest_attempt(job).reason
