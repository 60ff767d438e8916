"""Suspect nodes: repeated faults that make them suspect, and what clears them."""

from __future__ import annotations

import os
import random
from datetime import timedelta

import pytest
from django.utils import timezone

from jobs.agent.loop import Agent
from jobs.lifecycle.ending import end_attempt
from jobs.models import Attempt, AttemptNode, Job, Node, NodeEvent
from jobs.nodes import admin, node_faults
from jobs.scheduler import leases, loop
from jobs.states.jobs import AttemptState, Cause, JobState
from jobs.states.nodes import Health
from tests.jobs.placed_jobs import newest_attempt

pytestmark = pytest.mark.django_db


class Clock:
    offset_s = 1000.0

    def __call__(self) -> float:
        return self.offset_s


@pytest.fixture
def monitor(node, tmp_path) -> node_faults.NodeMonitor:
    return node_faults.NodeMonitor(node, tmp_path, Clock())


def health() -> tuple[str, str]:
    node = Node.objects.get(id="node-a")
    return node.health, node.health_reason


def fail(job: Job, cause: str = Cause.LAUNCH) -> None:
    """Let the job's next attempt fail with this cause."""
    leases.assign(Job.objects.get(id=job.id), "node-a", ["a-0", "a-1"], "test")
    end_attempt(newest_attempt(job), AttemptState.FAILED, "it did not start", cause)


def age(seconds: float) -> None:
    for attempt in Attempt.objects.exclude(ended_at=None):
        Attempt.objects.filter(id=attempt.id).update(ended_at=attempt.ended_at - timedelta(seconds=seconds))


class TestFailedLaunches:
    def test_three_in_a_row_of_two_jobs_make_a_node_suspect_with_the_reason(self, monitor, make_job):
        first, second = make_job(), make_job()
        for job in (first, second):
            fail(job)
        assert monitor.poll(0.0) == ""
        fail(first, Cause.SUPERVISOR)
        monitor.poll(10.0)
        assert health() == (
            Health.SUSPECT,
            "The last 3 attempts here ended because their supervisor could not start or died; "
            "the next one may try 600 s after the last.",
        )
        assert loop.schedule(first.pool) == 0
        event = NodeEvent.objects.values_list("kind", "actor", "text").get()
        assert event == ("health.suspect", "agent:a", health()[1])

    def test_failures_of_one_job_alone_do_not_count(self, monitor, make_job):
        job = make_job()
        for _ in range(4):
            fail(job)
        assert monitor.poll(0.0) == ""

    @pytest.mark.parametrize("cause", [Cause.WORKLOAD, Cause.DONE, Cause.STOPPED, Cause.DEVICE_HELD])
    def test_any_started_supervisor_resets_the_count(self, monitor, make_job, cause):
        first, second = make_job(), make_job()
        for job in (first, second):
            fail(job)
        fail(first, cause)
        Job.objects.update(state=JobState.QUEUED)
        fail(second)
        assert monitor.poll(0.0) == ""

    def test_after_the_pause_one_attempt_may_start_and_its_failure_doubles_the_pause(self, monitor, make_job):
        jobs = [make_job(), make_job()]
        for number in range(3):
            fail(jobs[number % 2])
        monitor.poll(0.0)
        age(601)
        monitor.poll(10.0)
        assert health() == (Health.OK, "")
        assert NodeEvent.objects.latest("id").text == "The node shows no fault any more."
        fail(jobs[1])
        monitor.poll(20.0)
        assert "may try 1200 s after" in health()[1]
        age(1100)
        assert monitor.poll(30.0)
        age(101)
        assert not monitor.poll(40.0)

    def test_readmitting_the_node_resets_the_count(self, monitor, node, make_job):
        jobs = [make_job(), make_job()]
        for number in range(3):
            fail(jobs[number % 2])
        monitor.poll(0.0)
        assert admin.readmit(node, "tom", "the disk was full")
        assert monitor.poll(10.0) == ""
        assert health()[0] == Health.OK

    def test_attempt_nodes_of_gangs_count(self, monitor, node, make_job, make_node):
        jobs = [make_job(), make_job()]
        for number in range(2):
            fail(jobs[number])
        gang = Attempt.objects.create(
            job=jobs[0], number=7, node=make_node("b"), num_nodes=2, state=AttemptState.FAILED
        )
        AttemptNode.objects.create(
            attempt=gang, node=node, state="failed", cause=Cause.SUPERVISOR, ended_at=timezone.now()
        )
        assert monitor.poll(0.0).startswith("The last 3 attempts here")

    def test_the_agent_judges_its_own_node(self, make_job, node, settings):
        settings.NODE_DIR.mkdir()
        jobs = [make_job(), make_job()]
        for number in range(3):
            fail(jobs[number % 2])
        Agent(node, settings.NODE_DIR).tick()
        assert health()[0] == Health.SUSPECT


class TestClock:
    def jump(self, monitor: node_faults.NodeMonitor, at_s: float, seconds: float = 60.0) -> str:
        monitor.clock.offset_s += seconds  # type: ignore[attr-defined]
        return monitor.poll(at_s)

    def test_a_clock_that_is_set_once_is_no_fault(self, monitor):
        monitor.poll(0.0)
        assert self.jump(monitor, 10.0) == ""

    def test_a_clock_that_is_set_repeatedly_makes_the_node_suspect_for_an_hour(self, monitor):
        monitor.poll(0.0)
        self.jump(monitor, 10.0)
        assert (
            self.jump(monitor, 500.0, -60.0) == "The clock was set by more than 5 s, 2 times within an hour."
        )
        assert monitor.poll(3600.0)
        assert not monitor.poll(3611.0)
        assert health()[0] == Health.OK

    def test_a_clock_that_is_slewed_is_no_fault(self, monitor):
        monitor.poll(0.0)
        for second in range(1, 100):
            assert self.jump(monitor, 10.0 * second, 0.5) == ""


class TestSampler:
    def write(self, monitor: node_faults.NodeMonitor, at: float) -> None:
        path = monitor.node_dir / "devices.json"
        path.write_text("{}")
        os.utime(path, (at, at))

    def test_a_node_without_a_sampler_is_not_judged(self, monitor):
        assert not any(monitor.poll(10.0 * n) for n in range(20))

    def test_a_silent_sampler_makes_the_node_suspect_until_it_writes_again(self, monitor):
        self.write(monitor, 1000.0)
        assert not any(monitor.poll(10.0 * n) for n in range(18))
        assert monitor.poll(180.0) == "The sampler has written no readings for 180 s."
        self.write(monitor, 2000.0)
        assert monitor.poll(190.0) == ""
        assert health()[0] == Health.OK

    def test_a_machine_that_was_suspended_gets_time(self, monitor):
        self.write(monitor, 1000.0)
        monitor.poll(10.0)
        assert monitor.poll(10_000.0) == ""


class TestFullDisk:
    def test_drawn_free_space_closes_and_opens_the_node_without_flapping(
        self, monitor, monkeypatch, settings
    ):
        """The oracle keeps one bit: full below the reserve, usable again from a quarter more."""
        reserve = settings.DISK_RESERVE_BYTES = 1_000_000
        draw, is_full = random.Random(20261201), False
        for second in range(300):
            free = draw.choice([0, draw.randint(0, 2 * reserve), reserve, int(1.2 * reserve), 2 * reserve])
            monkeypatch.setattr(node_faults, "free_bytes", lambda folder, free=free: free)
            why = monitor.poll(second * 10.0)
            is_full = free < (1.25 * reserve if is_full else reserve)
            assert bool(why) == is_full == (health()[0] == Health.SUSPECT), free
            assert ("nearly full" in why) == is_full

    def test_the_shared_root_counts_and_an_unknown_disk_does_not(
        self, monitor, monkeypatch, settings, tmp_path
    ):
        settings.CHECKPOINT_ROOT = str(tmp_path / "shared")
        free = {tmp_path / "shared": 10}
        monkeypatch.setattr(node_faults, "free_bytes", lambda folder: free.get(folder))
        assert f"The disk of {tmp_path / 'shared'} is nearly full" in monitor.poll(0.0)
        free.clear()
        assert monitor.poll(10.0) == ""

    def test_a_reserve_of_zero_never_closes_a_node(self, monitor, monkeypatch, settings):
        settings.DISK_RESERVE_BYTES = 0
        monkeypatch.setattr(node_faults, "free_bytes", lambda folder: 0)
        assert monitor.poll(0.0) == ""

    def test_free_space_of_a_folder_that_is_yet_to_be_made(self, tmp_path):
        assert node_faults.free_bytes(tmp_path / "a" / "b") == node_faults.free_bytes(tmp_path)
