"""Suspect devices: failed attempts, failing readings, driver faults, held locks."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

import pytest
from django.utils import timezone

from engine.supervisor.locks import lock_devices, release
from jobs.lifecycle.ending import end_attempt
from jobs.models import Device, Job, Lease, NodeEvent
from jobs.nodes import admin, device_faults
from jobs.queue import job_actions
from jobs.scheduler import loop
from jobs.states.jobs import AttemptState, Cause, JobState
from tests.jobs.placed_jobs import newest_attempt

pytestmark = pytest.mark.django_db

CUDA = (
    "rank 1 ended with exit code 1: torch.AcceleratorError: CUDA error: uncorrectable ECC error encountered"
)


def fail(job: Job, reason: str, cause: str = Cause.WORKLOAD) -> None:
    """Let the job's next attempt fail for this reason."""
    loop.schedule(job.pool)
    end_attempt(newest_attempt(job), AttemptState.FAILED, reason, cause)


def suspects() -> dict[str, str]:
    return dict(Device.objects.filter(health="suspect").values_list("id", "health_reason"))


class TestFailedAttempts:
    def test_one_failure_makes_no_device_suspect_two_in_a_row_do(self, make_job):
        job = make_job()
        fail(job, CUDA)
        assert not suspects()
        job_actions.retry(job, "tom")
        fail(job, CUDA)
        assert list(suspects()) == ["a-1"], "only the device of rank 1"
        assert "2 attempts in a row" in suspects()["a-1"]
        assert NodeEvent.objects.get().kind == "device.suspect"

    def test_a_success_in_between_clears_the_count(self, make_job):
        first, second = make_job(), make_job()
        fail(first, CUDA)
        loop.schedule(second.pool)
        end_attempt(newest_attempt(second), AttemptState.SUCCEEDED, "done", Cause.DONE)
        job_actions.retry(first, "tom")
        fail(first, CUDA)
        assert not suspects()

    @pytest.mark.parametrize(
        "reason",
        [
            "rank 1 ended with exit code 1: torch.OutOfMemoryError: CUDA out of memory",
            "rank 1 was killed by SIGKILL (out of memory or by hand)",
            "rank 1 ended with exit code 76: DivergedError: The loss is nan at step 3",
        ],
    )
    def test_failures_caused_by_the_job_do_not_count_against_the_device(self, make_job, reason):
        job = make_job()
        for _ in range(2):
            fail(job, reason)
            job_actions.retry(job, "tom")
        assert not suspects()

    def test_a_device_that_is_still_held_costs_the_job_nothing_and_is_suspect_after_a_minute(self, make_job):
        job = make_job(devices=1)
        held = "device a-0 is still held by an earlier attempt (pid 7)"
        for _ in range(3):
            fail(job, held, Cause.DEVICE_HELD)
            assert Job.objects.get().state == JobState.QUEUED
        assert not suspects(), "the process that holds it may be stopping"
        oldest = Lease.objects.order_by("id").first()
        Lease.objects.filter(id=oldest.id).update(began_at=timezone.now() - timedelta(seconds=61))
        fail(job, held, Cause.DEVICE_HELD)
        assert suspects() == {"a-0": f"unkillable: {held}"}
        loop.schedule(job.pool)
        assert newest_attempt(job).leases.get().device_id == "a-1"


class TestReadings:
    def read(self, **latest) -> None:
        Device.objects.filter(id="a-0").update(latest=latest)

    def test_a_device_whose_readings_all_fail_for_half_a_minute_is_suspect(self, node, tmp_path):
        monitor = device_faults.DeviceMonitor(node, tmp_path)
        self.read(metrics={}, missing={"power_w": ["error", "GPU is lost"]})
        monitor.poll(100.0)
        monitor.poll(129.0)
        assert not suspects()
        monitor.poll(131.0)
        assert suspects() == {"a-0": "All readings of the device fail: GPU is lost"}

    def test_one_good_reading_starts_the_count_again(self, node, tmp_path):
        monitor = device_faults.DeviceMonitor(node, tmp_path)
        bad = {"power_w": ["error", "GPU is lost"]}
        for at, metrics in ((100.0, {}), (120.0, {"power_w": 90.0}), (131.0, {}), (140.0, {})):
            self.read(metrics=metrics, missing={} if metrics else bad)
            monitor.poll(at)
        assert not suspects()

    def test_a_device_without_such_counters_is_not_broken(self, node, tmp_path):
        monitor = device_faults.DeviceMonitor(node, tmp_path)
        self.read(metrics={}, missing={"power_w": ["unsupported", "a CPU device has no such counter"]})
        monitor.poll(100.0)
        monitor.poll(200.0)
        assert not suspects()


class TestFaults:
    def report(self, *found: tuple[str, bool], at: float = 1000.0) -> None:
        faults = [{"code": code, "text": f"{code}.", "at": at, "is_hardware": hard} for code, hard in found]
        Device.objects.filter(id="a-0").update(latest={"metrics": {"power_w": 90.0}, "faults": faults})

    def test_hardware_faults_make_the_device_suspect_with_the_text_of_the_driver(self, node, tmp_path):
        self.report(("xid 79", True), ("xid 31", False), ("ecc", True))
        device_faults.DeviceMonitor(node, tmp_path).poll(0.0)
        assert suspects() == {"a-0": "xid 79. ecc."}
        assert NodeEvent.objects.get().text == "xid 79. ecc."

    def test_program_faults_do_not(self, node, tmp_path):
        self.report(("xid 31", False), ("xid 13", False))
        device_faults.DeviceMonitor(node, tmp_path).poll(0.0)
        assert not suspects()

    def test_old_faults_do_not_count_after_the_device_is_readmitted(self, node, tmp_path):
        monitor = device_faults.DeviceMonitor(node, tmp_path)
        self.report(("xid 79", True))
        monitor.poll(0.0)
        admin.readmit(node, "tom", "reset")
        monitor.poll(10.0)
        assert not suspects()
        self.report(("xid 79", True), at=timezone.now().timestamp() + 1)
        monitor.poll(20.0)
        assert suspects()


class TestLocks:
    @pytest.fixture
    def monitor(self, node, tmp_path, make_job) -> device_faults.DeviceMonitor:
        job = make_job(devices=1)
        loop.schedule(job.pool)
        end_attempt(newest_attempt(job), AttemptState.STOPPED, "over", Cause.STOPPED)
        Job.objects.update(state=JobState.CANCELLED)
        return device_faults.DeviceMonitor(node, tmp_path / "locks")

    @pytest.fixture
    def holder(self, monitor):
        """A process left behind by an attempt, which holds the lock of its device."""
        (descriptor,) = lock_devices(monitor.lock_dir, ["a-0"], 0)
        process = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(60)"], pass_fds=[descriptor]
        )
        release([descriptor])
        yield process
        process.kill()
        process.wait()

    def ended(self, seconds_ago: float) -> None:
        Lease.objects.update(ended_at=timezone.now() - timedelta(seconds=seconds_ago))

    def test_a_lock_that_is_not_freed_in_a_minute_makes_the_device_suspect(self, monitor, holder):
        self.ended(59)
        monitor.poll(0.0)
        assert not suspects()
        self.ended(61)
        monitor.poll(10.0)
        assert suspects()["a-0"].startswith(f"unkillable: pid {holder.pid} still holds it")

    def test_a_lock_that_was_free_in_between_belongs_to_another_process(self, monitor):
        monitor.poll(0.0)
        locks = lock_devices(monitor.lock_dir, ["a-0"], 0)
        self.ended(61)
        monitor.poll(10.0)
        release(locks)
        assert not suspects()
