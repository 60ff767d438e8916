"""Placement of gangs larger than one node."""

from __future__ import annotations

import pytest

from engine.spec.spec import SpecError
from jobs.models import Job, Lease, Node, Pool
from jobs.queue import job_actions
from jobs.scheduler import loop
from jobs.states.jobs import AttemptNodeState
from tests.jobs.placed_jobs import newest_attempt
from tests.jobs.scheduler.gangs.two_nodes import node_states

pytestmark = pytest.mark.django_db


def test_a_gang_that_no_node_holds_is_spread_where_the_pool_allows_it(job):
    attempt = newest_attempt(job)
    assert (attempt.num_nodes, attempt.node_id) == (2, "node-a")
    leases = Lease.objects.order_by("rank").values_list("rank", "device_id")
    assert list(leases) == [(0, "a-0"), (1, "a-1"), (2, "b-0"), (3, "b-1")]
    assert node_states(job) == [AttemptNodeState.ASSIGNED] * 2


def test_a_pool_that_does_not_allow_it_refuses_the_job(two_nodes, owner, team, make_spec):
    Pool.objects.update(allows_several_nodes=False)
    with pytest.raises(SpecError, match="on one node"):
        job_actions.submit(spec=make_spec(devices=4), team=team, owner=owner)


def test_nodes_that_share_no_folder_join_no_gang(two_nodes, owner, team, make_spec):
    Node.objects.filter(id="node-b").update(facts={"checkpoint_root": "/elsewhere"})
    waiting = job_actions.submit(spec=make_spec(devices=4), team=team, owner=owner)
    assert loop.schedule(waiting.pool) == 0


def test_a_job_that_fits_on_one_node_is_not_spread(two_nodes, owner, team, make_spec):
    small = job_actions.submit(spec=make_spec(devices=2), team=team, owner=owner)
    loop.schedule(small.pool)
    assert newest_attempt(small).num_nodes == 1


def test_younger_jobs_do_not_get_devices_reserved_for_a_waiting_gang(two_nodes, owner, team, make_spec):
    first = job_actions.submit(spec=make_spec(devices=1), team=team, owner=owner)
    loop.schedule(first.pool)
    gang, young = (job_actions.submit(spec=make_spec(devices=n), team=team, owner=owner) for n in (4, 1))
    assert loop.schedule(first.pool) == 0
    assert Job.objects.get(id=gang.id).waiting_reason == "Needs 4 devices on several nodes; 3 of 4 are free."
    assert Job.objects.get(id=young.id).waiting_reason.startswith("Free devices are reserved for job")
