"""The agent against a supervisor that is only files: what it starts, mirrors, stops and finds again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta

import msgspec
import pytest
from django.utils import timezone

from engine import procfs
from engine.directory import AttemptDirectory
from engine.spec import parse
from jobs import queue, scheduler
from jobs.agent import launch
from jobs.agent.launch import Launched, LaunchError
from jobs.agent.loop import Agent, lease_s
from jobs.models import Attempt, Job, Lease, Node
from jobs.states import AttemptState, JobState
from tests.jobs.played import DEAD_PID, checkpoint, report, say, step
from tests.jobs.stage import assign, attempt_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def started(monkeypatch) -> list[AttemptDirectory]:
    """Instead of a process, a note that one was started; it counts as alive."""
    directories: list[AttemptDirectory] = []

    def start(directory, warm_start):
        directories.append(directory)
        return Launched(os.getpid(), procfs.stat(os.getpid()).started_ticks)

    monkeypatch.setattr(launch, "start", start)
    return directories


@pytest.fixture
def agent(node, settings, started) -> Agent:
    settings.NODE_DIR.mkdir()
    return Agent(node, settings.NODE_DIR)


def restarted(agent: Agent) -> Agent:
    """The agent after kill -9: a new one, which knows only the database and the disk."""
    return Agent(Node.objects.get(id=agent.node.id), agent.node_dir)


def states(job: Job) -> tuple[str, str]:
    return Job.objects.get(id=job.id).state, attempt_of(job).state


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
    assert attempt_of(job).placement == json.loads(msgspec.json.encode(placement))


def test_data_parallel_ranks_of_one_stage_stand_together(agent, started, make_node, make_job):
    make_node("b", devices=4)
    job = make_job("parallel.stages=2", devices=2)
    scheduler.schedule(job.pool)
    attempt = attempt_of(job)
    placement = launch.place(attempt, parse(job.spec), agent.node_dir, None)
    assert [(s.stage, s.data_rank) for s in placement.seats] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_a_second_look_starts_nothing_twice(agent, started, make_job):
    assign(make_job())
    agent.tick()
    agent.tick()
    assert len(started) == 1


def test_running_and_success_are_mirrored_with_the_last_lines(agent, started, make_job):
    job = make_job()
    assign(job)
    agent.tick()
    report(started[0], "running")
    agent.tick()
    assert states(job) == (JobState.STARTING, AttemptState.RUNNING)
    say(started[0], step(1))
    agent.tick()
    assert states(job) == (JobState.RUNNING, AttemptState.RUNNING)
    say(started[0], step(2))
    report(started[0], "succeeded", "every rank finished")
    agent.tick()
    assert states(job) == (JobState.SUCCEEDED, AttemptState.SUCCEEDED)
    job.refresh_from_db()
    assert (job.step, job.reason) == (2, "every rank finished")
    assert job.ended_at is not None
    assert not Lease.objects.filter(is_active=True).exists()


def test_the_time_in_the_queue_is_a_phase(agent, started, make_job):
    job = make_job()
    job.events.update(at=timezone.now() - timedelta(seconds=30))
    assign(job)
    agent.tick()
    report(started[0], "running")
    agent.tick()
    assert 30 <= attempt_of(job).phases["queued"] < 60


def test_a_failure_carries_its_reason_and_the_last_words_of_the_rank(agent, started, make_job):
    job = make_job()
    assign(job)
    agent.tick()
    report(started[0], "failed", "rank 1 was killed by SIGKILL", stderr_tail=("Traceback", "boom"))
    agent.tick()
    assert states(job) == (JobState.FAILED, AttemptState.FAILED)
    assert Job.objects.get().reason == attempt_of(job).reason == "rank 1 was killed by SIGKILL"
    assert attempt_of(job).stderr_tail == "Traceback\nboom"


def test_a_failure_is_tried_again_only_as_often_as_allowed(agent, started, make_job, settings):
    settings.RETRY_LIMIT = 1
    job = make_job()
    for number, expected in ((1, JobState.QUEUED), (2, JobState.FAILED)):
        assign(job)
        agent.tick()
        report(started[-1], "failed", "out of memory")
        agent.tick()
        assert (attempt_of(job).number, Job.objects.get().state) == (number, expected)


def test_a_cancelled_job_is_stopped_at_a_step_border_and_ends_cancelled(agent, started, make_job):
    job = make_job()
    assign(job)
    agent.tick()
    report(started[0], "running")
    queue.cancel(job, actor="tom", reason="Enough.")
    agent.tick()
    assert started[0].read_control() == "stop"
    report(started[0], "stopped", "stopped on request")
    agent.tick()
    assert states(job) == (JobState.CANCELLED, AttemptState.STOPPED)
    assert Job.objects.get().reason == "Enough."


def test_a_stop_that_nobody_asked_for_puts_the_job_back(agent, started, make_job):
    job = make_job()
    assign(job)
    agent.tick()
    say(started[0], checkpoint(started[0], 20))
    report(started[0], "stopped", "the agent went silent")
    agent.tick()
    job.refresh_from_db()
    assert job.state == JobState.QUEUED
    assert job.waiting_reason == "Interrupted: the agent went silent; resumes from step 20."


def test_the_next_attempt_resumes_from_the_newest_complete_checkpoint(agent, started, make_job):
    job = make_job()
    assign(job)
    agent.tick()
    first = started[0]
    say(first, checkpoint(first, 10), checkpoint(first, 20))
    (first.checkpoints / "step-00000030").mkdir()  # never completed
    report(first, "failed", "boom")
    agent.tick()
    queue.retry(job, actor="tom")
    assign(job)
    agent.tick()
    newest = str(first.checkpoints / "step-00000020")
    assert started[1].read_placement().resume_from == newest
    assert attempt_of(job).resumed_from == newest


def test_a_checkpoint_on_another_node_is_told_not_silently_lost(agent, started, make_node, make_job):
    elsewhere, job = make_node("b", devices=2), make_job()
    first = Attempt.objects.create(
        job=job,
        number=1,
        node=elsewhere,
        state="lost",
        directory="/gone",
        checkpoint="/gone/c",
        checkpoint_step=50,
    )
    Job.objects.update(attempt_number=1)
    Node.objects.filter(id=elsewhere.id).update(heartbeat_at=None)
    assign(job)
    agent.tick()
    assert started[0].read_placement().resume_from is None
    assert "step 50 of attempt 1" in job.events.get(kind="note.warning").text
    assert first.number == 1


def test_a_dead_supervisor_is_reported_with_what_it_wrote(agent, started, make_job):
    job = make_job()
    assign(job)
    agent.tick()
    (started[0].log / "supervisor.log").write_text("Traceback\nMemoryError\n")
    report(started[0], "running", pid=DEAD_PID)
    say(started[0], step(3))
    agent.tick()
    assert states(job) == (JobState.QUEUED, AttemptState.FAILED)
    assert f"pid {DEAD_PID}) died without a word" in attempt_of(job).reason
    assert attempt_of(job).stderr_tail.endswith("MemoryError")
    assert Job.objects.get().step == 3


def test_what_a_dead_supervisor_left_behind_is_killed_and_nothing_else(agent, started, make_job):
    assign(make_job())
    agent.tick()
    name = {"HEADROOM_ATTEMPT": str(started[0].path.resolve())}
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    mine, other = (subprocess.Popen(sleep, env=env) for env in (os.environ | name, os.environ))
    try:
        report(started[0], "running", pid=DEAD_PID)
        agent.tick()  # the attempt ends
        agent.tick()  # and its folder is looked at once more
        assert mine.wait(10) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        for process in (mine, other):
            process.kill()
            process.wait()


def test_a_pid_that_went_to_another_process_is_not_the_supervisor(agent, started, make_job):
    job = make_job()
    assign(job)
    agent.tick()
    report(started[0], "running")
    state = started[0].read_state()
    started[0].write_state(msgspec.structs.replace(state, pid_started=state.pid_started - 1))
    agent.tick()
    assert attempt_of(job).state == AttemptState.FAILED


def test_a_restarted_machine_costs_no_job(agent, started, make_job):
    job = make_job()
    assign(job)
    agent.tick()
    report(started[0], "running", pid=DEAD_PID, updated_at=1.0)  # before this machine's last boot
    agent.tick()
    assert states(job) == (JobState.QUEUED, AttemptState.STOPPED)


def test_a_supervisor_that_ends_before_its_first_word_fails_the_attempt(
    agent, started, make_job, monkeypatch
):
    child = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    child.wait()
    monkeypatch.setattr(launch, "start", lambda *_: Launched(child.pid, 0.0, child))
    job = make_job()
    assign(job)
    agent.tick()
    agent.tick()
    assert states(job) == (JobState.QUEUED, AttemptState.FAILED)
    assert "before it reported" in attempt_of(job).reason


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
    assert "cannot be written" in attempt_of(job).reason


def test_after_kill_nine_the_agent_follows_its_attempts_again(agent, started, make_job):
    job = make_job()
    assign(job)
    agent.tick()
    report(started[0], "running")
    say(started[0], step(1))
    agent.tick()
    say(started[0], step(2))
    later = restarted(agent)
    later.tick()
    assert states(job) == (JobState.RUNNING, AttemptState.RUNNING)
    assert Job.objects.get().step == 2
    assert len(started) == 1
    report(started[0], "succeeded", "done")
    later.tick()
    assert states(job)[0] == JobState.SUCCEEDED


def test_killed_between_taking_and_starting_the_job_waits_again(agent, started, make_job):
    job = make_job()
    directory = launch.prepare(assign(job), agent.node_dir, time.time() + 60)
    later = restarted(agent)
    later.tick()
    assert states(job)[0] == JobState.STARTING  # the supervisor may still speak up
    Attempt.objects.update(started_at=timezone.now() - timedelta(seconds=31))
    later.tick()
    assert states(job) == (JobState.QUEUED, AttemptState.STOPPED)
    assert directory.read_control() == "stop"  # should it come up late


def test_a_supervisor_of_an_attempt_that_was_given_up_is_told_to_stop(agent, started, make_job):
    job = make_job()
    assign(job)
    agent.tick()
    report(started[0], "running")
    Node.objects.update(heartbeat_at=timezone.now() - timedelta(hours=1))
    scheduler.take_back_lost_attempts()
    restarted(agent).tick()
    assert started[0].read_control() == "stop"
    assert states(job) == (JobState.QUEUED, AttemptState.LOST)


def test_the_lease_is_renewed_only_with_a_heartbeat(agent, started, make_job, settings):
    assign(make_job())
    agent.tick()
    report(started[0], "running")
    agent.tick()
    started[0].write_lease(5.0)
    agent.tick()
    assert started[0].read_lease() == 5.0  # no heartbeat was due
    agent._beat_at = 0.0
    agent.tick()
    assert started[0].read_lease() == pytest.approx(time.time() + lease_s(), abs=30)


def test_lease_and_grace_fit_into_the_time_of_reassignment(settings):
    margin_s = settings.REASSIGN_AFTER_S - lease_s() - settings.STOP_GRACE_S
    assert margin_s >= settings.REASSIGN_AFTER_S / 10


def test_the_heartbeat_is_written(agent):
    Node.objects.update(heartbeat_at=None)
    agent.tick()
    assert timezone.now() - Node.objects.get().heartbeat_at < timedelta(seconds=30)
    assert (agent.node_dir / "agent.alive").exists()


def test_one_attempt_that_cannot_be_followed_does_not_keep_the_agent_from_the_others(
    agent, started, make_job
):
    broken, healthy = make_job(devices=1), make_job(devices=1)
    assign(broken), assign(healthy)
    agent.tick()
    (started[0].path / "state.json").write_text("{")
    report(started[1], "succeeded", "done")
    agent.tick()
    assert states(healthy)[0] == JobState.SUCCEEDED
    assert states(broken)[0] == JobState.STARTING


class TestLeaving:
    def test_attempts_are_stopped_and_their_jobs_wait_again(self, agent, started, make_job, monkeypatch):
        job = make_job()
        assign(job)
        agent.tick()
        report(started[0], "running")
        say(started[0], checkpoint(started[0], 40))

        def pause(seconds: float) -> None:
            assert started[0].read_control() == "stop"
            report(started[0], "stopped", "stopped on request")

        monkeypatch.setattr("jobs.agent.loop.time.sleep", pause)
        agent._stop_attempts()
        job.refresh_from_db()
        assert job.state == JobState.QUEUED
        assert job.waiting_reason == "Interrupted by shutdown; resumes from step 40."
        assert Node.objects.get().heartbeat_at is None

    def test_no_new_work_is_placed_or_taken_meanwhile(self, agent, started, make_job):
        first, second = make_job(devices=1), make_job(devices=1)
        assign(first)
        agent._stop_attempts()
        assert not started
        assert scheduler.schedule(second.pool) == 0
        assert attempt_of(first).state == AttemptState.ASSIGNED
