"""Submitting: the rows written, and the fields at which a spec is refused."""

from __future__ import annotations

import pytest

from engine.spec.spec import SpecError
from jobs.models import Event, Job, Membership, Pool, Priority, Run
from jobs.models.people import Role
from jobs.queue import job_actions
from jobs.states.jobs import JobState

pytestmark = pytest.mark.django_db


def refusals(spec, team, owner) -> dict[str, str]:
    """Field -> sentence; also checks that nothing was written."""
    with pytest.raises(SpecError) as refused:
        job_actions.submit(spec=spec, team=team, owner=owner)
    assert not Job.objects.exists() and not Run.objects.exists() and not Event.objects.exists()
    return {problem.field: problem.message for problem in refused.value.problems}


def test_a_submitted_spec_becomes_a_job_a_run_and_an_event(make_job, owner, team):
    job = make_job("budget.steps=30", name="first")
    assert (job.state, job.num_devices, job.num_steps) == (JobState.QUEUED, 2, 30)
    assert job.spec["budget"]["steps"] == 30
    assert job.plan["num_parameters"] > 0
    assert (job.run.name, job.run.team, job.run.owner, job.run.spec) == ("first", team, owner, job.spec)
    event = job.events.get()
    assert (event.kind, event.actor) == ("job.queued", "olga")


def test_the_event_names_who_acted_for_the_owner(make_spec, node, team, owner):
    job = job_actions.submit(spec=make_spec(), team=team, owner=owner, actor="api:nightly")
    assert job.events.get().actor == "api:nightly"


def test_an_unknown_pool_is_refused_with_the_known_ones(make_spec, node, team, owner):
    problems = refusals(make_spec("pool=gpus"), team, owner)
    assert "Pool 'gpus' does not exist" in problems["pool"] and "default" in problems["pool"]


def test_a_closed_pool_is_refused(make_spec, node, team, owner):
    Pool.objects.update(is_open=False)
    assert "closed" in refusals(make_spec(), team, owner)["pool"]


def test_a_pool_without_a_node_is_refused(make_spec, pool, team, owner):
    assert "no node" in refusals(make_spec(), team, owner)["pool"]


def test_more_ranks_than_the_largest_node_has_devices_are_refused(make_spec, make_node, team, owner):
    make_node("small", devices=1)
    make_node("large", devices=4)
    problems = refusals(make_spec(devices=8), team, owner)
    assert "8 devices on one node" in problems["parallel.data"] and "has 4" in problems["parallel.data"]


def test_the_weakest_kind_of_device_counts(make_spec, make_node, team, owner):
    make_node("gpu", kind="cuda")
    job_actions.submit(spec=make_spec("precision.dtype=fp16"), team=team, owner=owner)
    Job.objects.all().delete()
    make_node("cpu", kind="cpu")
    assert "fp16" in refusals(make_spec("precision.dtype=fp16"), team, owner)["precision.dtype"]


def test_absent_devices_do_not_count(make_spec, make_node, team, owner):
    node = make_node(devices=4)
    node.devices.filter(index__gte=2).update(is_present=False)
    assert "has 2" in refusals(make_spec(devices=4), team, owner)["parallel.data"]


def test_a_corpus_outside_the_data_folder_is_refused(make_spec, node, team, owner):
    assert "data.corpus" in refusals(make_spec("data.corpus=../../etc/passwd"), team, owner)


def test_every_problem_is_reported_at_once(make_spec, node, team, owner):
    spec = make_spec("model.heads=3", "data.corpus=/etc/passwd", "pool=gpus")
    assert set(refusals(spec, team, owner)) == {"model.heads", "data.corpus", "pool"}


def test_high_priority_is_for_leads_and_admins(make_spec, node, team, owner):
    problems = refusals(make_spec("priority=high"), team, owner)
    assert "leads of team Research" in problems["priority"]
    Membership.objects.update(role=Role.LEAD)
    job = job_actions.submit(spec=make_spec("priority=high", "preemptible=false"), team=team, owner=owner)
    assert (job.priority, job.is_preemptible, job.time_limit_s) == (Priority.HIGH, False, 3600)
