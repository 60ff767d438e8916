"""Fabric tests in the queue, and the links of a pool that they measure."""

from __future__ import annotations

import pytest

from engine.hardware.fabric_test import BY_NAME
from engine.spec.spec import SpecError
from jobs.models import Device, Forecast, Job, LinkProfile
from jobs.planning import plans
from jobs.queue import job_actions
from jobs.states.jobs import AttemptState, JobState
from tests.jobs.finished_jobs import BYTES_PER_S, LATENCY_S, add_profile, finish_fabric_test

pytestmark = pytest.mark.django_db


def test_it_waits_like_any_job_with_a_step_for_each_size(fabric_job):
    job = fabric_job()
    assert (job.state, job.num_devices, job.num_steps, job.run.plan) == (JobState.QUEUED, 2, 15, {})
    assert fabric_job(budget__steps=4).num_steps == 4


def test_an_invalid_test_is_refused_with_a_fix(make_spec, node, team):
    for change, field in (("parallel.data=1", "parallel.data"), ("parallel.stages=2", "parallel.stages")):
        with pytest.raises(SpecError) as refused:
            job_actions.check(make_spec("kind=fabric_test", change), team)
        assert refused.value.problems[0].field == field
        assert refused.value.problems[0].fix


def test_its_fits_are_the_links_of_the_pool(fabric_job, pool):
    job = finish_fabric_test(fabric_job())
    fits = {row.algorithm: row for row in LinkProfile.objects.filter(run=job.run)}
    assert fits.keys() == BY_NAME.keys() - {"send_far"}
    for row in fits.values():
        assert (row.latency_s, row.bytes_per_s) == (pytest.approx(LATENCY_S), pytest.approx(BYTES_PER_S))
        assert (row.pool, row.device, row.num_devices, row.is_between_nodes) == (pool, "cpu share", 2, False)
    assert Forecast.objects.count() == 0
    assert plans.get_profile(pool) is None  # its devices have not been probed
    add_profile(Device.objects.get(id="a-0"))
    profile = plans.get_profile(pool)
    assert profile.within_node.latency_s == pytest.approx(LATENCY_S)
    assert profile.within_node.bytes_per_s == pytest.approx(BYTES_PER_S)
    assert profile.between_nodes is None


def test_the_newest_test_counts_and_the_older_one_stays(fabric_job, pool):
    finish_fabric_test(fabric_job())
    finish_fabric_test(fabric_job(), bytes_per_s=4e9)
    add_profile(Device.objects.get(id="a-0"))
    assert plans.get_profile(pool).within_node.bytes_per_s == pytest.approx(4e9)
    assert LinkProfile.objects.filter(algorithm="backend").count() == 2


def test_a_test_that_ended_early_is_fitted_to_the_measured_sizes(fabric_job):
    job = finish_fabric_test(fabric_job(), num_sizes=4, to=AttemptState.FAILED)
    assert {row.num_sizes for row in LinkProfile.objects.filter(run=job.run)} == {4}
    job_actions.retry(job, "olga")
    finish_fabric_test(Job.objects.get(id=job.id))
    assert {row.num_sizes for row in LinkProfile.objects.filter(run=job.run)} == {15}


def test_two_sizes_give_no_fit(fabric_job, pool):
    finish_fabric_test(fabric_job(), num_sizes=2)
    assert LinkProfile.objects.count() == 0
