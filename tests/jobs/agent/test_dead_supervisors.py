"""Dead supervisors: detection, reason and clean-up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import msgspec
import pytest

from jobs.agent import launch
from jobs.agent.launch import Launched
from jobs.models import Job
from jobs.states.jobs import AttemptState, JobState
from tests.jobs.fake_supervisor import DEAD_PID, step_line, write_spool, write_state
from tests.jobs.placed_jobs import assign, newest_attempt, states

pytestmark = pytest.mark.django_db


def test_a_dead_supervisor_is_reported_with_what_it_wrote(agent, claimed):
    job, directory = claimed
    (directory.log / "supervisor.log").write_text("Traceback\nMemoryError\n")
    write_state(directory, "running", pid=DEAD_PID)
    write_spool(directory, step_line(3))
    agent.tick()
    assert states(job) == (JobState.QUEUED, AttemptState.FAILED)
    assert f"pid {DEAD_PID}) died without a report" in newest_attempt(job).reason
    assert newest_attempt(job).stderr_tail.endswith("MemoryError")
    assert Job.objects.get().step == 3


def test_what_a_dead_supervisor_left_behind_is_killed_and_nothing_else(agent, claimed):
    _, directory = claimed
    name = {"FOURWALLS_ATTEMPT": str(directory.path.resolve())}
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    mine, other = (subprocess.Popen(sleep, env=env) for env in (os.environ | name, os.environ))
    try:
        write_state(directory, "running", pid=DEAD_PID)
        agent.tick()  # the attempt ends
        agent.tick()  # its folder is checked again
        assert mine.wait(10) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        for process in (mine, other):
            process.kill()
            process.wait()


def test_a_pid_that_went_to_another_process_is_not_the_supervisor(agent, claimed):
    job, directory = claimed
    write_state(directory, "running")
    state = directory.read_state()
    directory.write_state(msgspec.structs.replace(state, pid_started=state.pid_started - 1))
    agent.tick()
    assert newest_attempt(job).state == AttemptState.FAILED


def test_a_restarted_machine_costs_no_job(agent, claimed):
    job, directory = claimed
    write_state(directory, "running", pid=DEAD_PID, updated_at=1.0)  # before this machine's last boot
    agent.tick()
    assert states(job) == (JobState.QUEUED, AttemptState.STOPPED)


def test_a_supervisor_that_ends_before_its_first_state_fails_the_attempt(
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
    assert "before it reported" in newest_attempt(job).reason
