"""Assignment of devices, and waiting reasons of the other jobs."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from jobs.lifecycle.transitions import move_attempt
from jobs.models import Attempt, Checkpoint, Device, Job, Lease, Node, Pool
from jobs.scheduler import loop, snapshot
from jobs.scheduler.dispatch import Dispatcher
from jobs.scheduler.leases import assign
from jobs.states.jobs import AttemptState, JobState

pytestmark = pytest.mark.django_db

# Waiting jobs, their last nodes, leases, attempts, nodes, devices, shares, and stored queue positions.
QUERIES = 8


def schedule(pool: str = "default") -> int:
    return loop.schedule(Pool.objects.get(name=pool))


def state(job: Job) -> str:
    return Job.objects.get(id=job.id).state


def reason(job: Job) -> str:
    return Job.objects.get(id=job.id).waiting_reason


def end(job: Job, to: str = AttemptState.FAILED) -> None:
    """End the job's attempt, which frees its devices."""
    assert move_attempt(job.attempts.latest("number").id, to, actor="test")


def test_a_job_gets_an_attempt_with_one_lease_per_rank(make_job):
    job = make_job(devices=2)
    assert schedule() == 1
    attempt = job.attempts.get()
    assert (attempt.number, attempt.state, attempt.node_id) == (1, AttemptState.ASSIGNED, "node-a")
    assert list(attempt.leases.order_by("rank").values_list("rank", "device_id")) == [(0, "a-0"), (1, "a-1")]
    job.refresh_from_db()
    assert (job.state, job.attempt_number) == (JobState.SCHEDULED, 1)
    assert job.events.last().kind == "job.scheduled"


def test_a_gang_gets_all_its_devices_or_none(make_job, make_node):
    make_node("b", devices=3)
    small, gang = make_job(devices=1), make_job(devices=3)
    other = make_job(devices=1)
    assign(other, "node-b", ["b-0"], "test")
    schedule()
    assert state(small) == JobState.SCHEDULED
    assert state(gang) == JobState.QUEUED
    assert not Lease.objects.filter(attempt__job=gang).exists()
    assert reason(gang) == f"Needs 3 devices; 1 of 3 on node b are held by job {other.id}."


def test_a_device_leased_in_the_meantime_leaves_no_attempt(make_job):
    first, second = make_job(devices=1), make_job(devices=2)
    assert assign(first, "node-a", ["a-1"], "test")
    assert assign(second, "node-a", ["a-0", "a-1"], "test") is None
    assert state(second) == JobState.QUEUED
    assert second.attempts.count() == 0
    assert list(Lease.objects.values_list("attempt__job_id", flat=True)) == [first.id]


def test_the_node_that_is_left_with_the_fewest_free_devices_is_preferred(make_job, make_node):
    make_node("b", devices=1)
    job = make_job(devices=1)
    schedule()
    assert job.attempts.get().node_id == "node-b"


def test_a_job_goes_back_to_the_node_that_keeps_its_checkpoints(make_job, make_node):
    make_node("b", devices=4)
    job = make_job(devices=2)
    assign(job, "node-b", ["b-0", "b-1"], "test")
    end(job)
    Checkpoint.objects.create(
        run=job.run, attempt=job.attempts.get(), step=10, path="attempts/c", saved_at=timezone.now()
    )
    Job.objects.filter(id=job.id).update(state=JobState.QUEUED)
    schedule()
    assert job.attempts.latest("number").node_id == "node-b"


def test_younger_jobs_do_not_take_the_node_that_the_oldest_waits_for(make_job):
    running = make_job(devices=1)
    schedule()
    gang, small = make_job(devices=2), make_job(devices=1)
    schedule()
    assert state(gang) == state(small) == JobState.QUEUED
    assert "Needs 2 devices; 1 of 2 on node a" in reason(gang)
    assert reason(small).startswith(f"Free devices are reserved for job {gang.id} from ")
    end(running)
    schedule()
    assert (state(gang), state(small)) == (JobState.SCHEDULED, JobState.QUEUED)


def test_younger_jobs_may_pass_onto_nodes_that_no_older_job_waits_for(make_job, make_node):
    make_node("b", devices=2)
    assign(make_job(devices=1), "node-a", ["a-0"], "test")
    assign(make_job(devices=2), "node-b", ["b-0", "b-1"], "test")
    gang, small = make_job(devices=2), make_job(devices=1)
    schedule()
    assert state(gang) == state(small) == JobState.QUEUED
    end(Job.objects.get(attempts__node_id="node-b"))
    schedule()
    assert Attempt.objects.get(job=gang).node_id == "node-b"
    assert Attempt.objects.get(job=small).node_id == "node-a"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"admin_state": "cordoned"}, "1 cordoned"),
        ({"heartbeat_at": None}, "1 unreachable"),
        ({"heartbeat_at": timezone.now() - timedelta(seconds=46)}, "1 unreachable"),
    ],
)
def test_the_reason_names_why_a_node_takes_no_work(make_job, node, fields, why):
    job = make_job()
    Node.objects.update(**fields)
    assert schedule() == 0
    assert reason(job) == f"No node of pool 'default' takes work: {why}."


def test_the_reason_names_a_closed_pool(make_job):
    job = make_job()
    Pool.objects.update(is_open=False)
    assert schedule() == 0
    assert reason(job) == "Pool 'default' is closed."


def test_devices_that_have_gone_are_not_leased(make_job):
    job = make_job(devices=2)
    Device.objects.filter(id="a-1").update(is_present=False)
    schedule()
    assert reason(job) == "Needs 2 devices on one node; the largest available has 1."


def test_queue_positions_are_written_only_when_they_change(make_job, django_assert_num_queries):
    make_job(devices=2), make_job(devices=2)
    schedule()
    schedule()
    pool = Pool.objects.get()
    with django_assert_num_queries(QUERIES):
        loop.schedule(pool)


def test_twice_the_jobs_and_devices_cost_the_same_number_of_queries(
    make_job, make_node, django_assert_num_queries
):
    make_job(devices=2), make_job(devices=2)
    schedule()
    for name in "bcd":
        make_node(name, devices=1)
    for _ in range(4):
        make_job(devices=2)
    schedule()
    pool = Pool.objects.get()
    with django_assert_num_queries(QUERIES):
        loop.schedule(pool)


def test_a_waiting_job_has_a_position_a_reason_and_an_expected_start(make_job):
    running, second, third = make_job(devices=2), make_job(devices=2), make_job(devices=1)
    schedule()
    second.refresh_from_db(), third.refresh_from_db()
    assert (second.position, third.position) == (1, 2)
    values = second.waiting_for["values"]
    assert second.waiting_for["code"] == "GANG_FIT" and (values["need"], values["have"]) == (2, 0)
    assert third.waiting_for["code"] == "AHEAD"
    limit = timedelta(seconds=second.time_limit_s + snapshot.END_MARGIN_S)
    assert abs(second.expected_start_at - running.attempts.get().assigned_at - limit) < timedelta(seconds=2)
    assert third.expected_start_at - second.expected_start_at == limit


def test_a_job_that_leaves_the_queue_has_no_position(make_job):
    running, second = make_job(devices=2), make_job(devices=2)
    schedule()
    end(running)
    schedule()
    second.refresh_from_db()
    assert (second.state, second.position, second.expected_start_at) == (JobState.SCHEDULED, None, None)
    assert (second.waiting_reason, second.waiting_for) == ("", {})


def test_an_unknown_start_has_a_reason(make_job):
    make_job(devices=2), make_job(devices=2)
    schedule()
    Attempt.objects.update(assigned_at=timezone.now() - timedelta(days=1))
    schedule()
    waiting = Job.objects.get(state=JobState.QUEUED)
    assert waiting.expected_start_at is None
    assert waiting.waiting_for["unknown_start"] == "A job that holds the devices has run past its time limit."


def test_a_higher_priority_goes_first(make_job):
    make_job(devices=2)
    schedule()
    low, normal = make_job("priority=low", devices=2), make_job(devices=2)
    schedule()
    assert [Job.objects.get(id=job.id).position for job in (low, normal)] == [2, 1]


def test_pools_do_not_lend_each_other_devices(make_job, make_node):
    make_node("g", devices=2, pool="gpus")
    first, second = make_job(devices=2), make_job(devices=2)
    schedule()
    schedule("gpus")
    assert (state(first), state(second)) == (JobState.SCHEDULED, JobState.QUEUED)


class TestLostNodes:
    @pytest.fixture
    def lost(self, make_job, settings):
        """A job on a node that has sent no heartbeat for longer than the limit."""
        settings.REASSIGN_AFTER_S = 600
        job = make_job()
        schedule()
        Node.objects.update(heartbeat_at=timezone.now() - timedelta(seconds=601))
        return job

    def test_the_attempt_is_lost_and_the_job_waits_again(self, lost):
        assert loop.reclaim_lost_attempts() == 1
        attempt = lost.attempts.get()
        assert attempt.state == AttemptState.LOST and "no heartbeat for 600 s" in attempt.reason
        assert state(lost) == JobState.QUEUED
        assert not Lease.objects.filter(is_active=True).exists()

    def test_a_job_that_a_person_cancelled_ends_instead(self, lost):
        Job.objects.update(wanted_state="cancelled", state=JobState.STOPPING)
        loop.reclaim_lost_attempts()
        assert state(lost) == JobState.CANCELLED

    def test_a_short_silence_loses_nothing(self, lost):
        Node.objects.update(heartbeat_at=timezone.now() - timedelta(seconds=599))
        assert loop.reclaim_lost_attempts() == 0
        assert state(lost) == JobState.SCHEDULED

    def test_after_its_own_start_the_scheduler_gives_nodes_time_to_show_that_they_live(self, lost, settings):
        silent = Dispatcher(publish=lambda node, attempt: None)
        settings.UNREACHABLE_AFTER_S = 45
        fresh = loop.Scheduler(silent)
        fresh.tick()
        assert state(lost) == JobState.SCHEDULED
        settings.UNREACHABLE_AFTER_S = 0
        patient = loop.Scheduler(silent)
        patient.tick()
        assert state(lost) == JobState.QUEUED
