"""The drain dialog's forecast against what the scheduler then does, over generated pools."""

from __future__ import annotations

import random

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from jobs.lifecycle.ending import end_attempt
from jobs.models import Attempt, Checkpoint, Job, Node
from jobs.scheduler import drains, loop
from jobs.states.jobs import ATTEMPT_LIVE, AttemptState, Cause, JobState

pytestmark = pytest.mark.django_db

CASES, SEED = 40, 23
HTMX = {"HX-Request": "true"}


@pytest.fixture
def admin_browser(browser_of, db):
    return browser_of(User.objects.create_superuser("ada"))


def run_all() -> None:
    Attempt.objects.filter(state__in=ATTEMPT_LIVE).update(state=AttemptState.RUNNING)
    Job.objects.filter(state=JobState.SCHEDULED).update(state=JobState.RUNNING, step=30)


def save(attempt: Attempt, step: int, size_bytes: int = 1000) -> None:
    Checkpoint.objects.create(
        run=attempt.job.run, attempt=attempt, step=step, path=f"attempts/{attempt.id}/{step}",
        saved_at=timezone.now(), size_bytes=size_bytes,
    )  # fmt: skip


@pytest.mark.parametrize("case", range(CASES))
def test_jobs_continue_where_the_dialog_said_in_whatever_order_they_stop(make_job, make_node, case):
    rng = random.Random(SEED * 1000 + case)
    for name in "bcd"[: rng.randint(1, 3)]:
        make_node(name, devices=rng.randint(1, 4))
    jobs = [make_job(devices=rng.randint(1, 2)) for _ in range(rng.randint(1, 6))]
    loop.schedule(jobs[0].pool)
    run_all()
    for attempt in Attempt.objects.select_related("job__run"):
        if rng.random() < 0.7:
            save(attempt, rng.randint(1, 30))
    node = rng.choice(list(Node.objects.filter(attempts__isnull=False).distinct()))
    plan = drains.plan_drain(node)
    assert {one.attempt.id for one in plan} == {attempt.id for attempt in drains.list_attempts(node)}
    drains.drain(node, "ada", "new disks", "checkpoint")
    stopping = list(plan)
    rng.shuffle(stopping)
    for one in stopping:
        save(one.attempt, 31, 1000)
        attempt = Attempt.objects.select_related("node", "job__run").get(id=one.attempt.id)
        end_attempt(attempt, AttemptState.STOPPED, "stopped", Cause.STOPPED)
        loop.schedule(node.pool)
    for one in plan:
        job = Job.objects.get(id=one.job.id)
        newest = job.attempts.order_by("-number").first()
        assert newest is not None
        if one.node_id:
            assert (newest.node_id, newest.number) == (one.node_id, 2), one.sentence
        else:
            assert job.state == JobState.QUEUED and one.waiting_reason, one.sentence
        assert f"the job {one.sentence}" in job.events.get(kind="note.info").text
        assert any("resumes from step 31." in event.text for event in job.events.filter(kind="job.queued"))


def test_the_dialog_shows_where_from_which_step_and_what_travels(admin_browser, make_job, make_node, node):
    job = make_job(devices=1)
    loop.schedule(job.pool)
    run_all()
    save(job.attempts.get(), 20, 4_000_000)
    make_node("b", devices=2)
    text = " ".join(admin_browser.get(f"/nodes/{node.id}/drain/", headers=HTMX).text.split())
    assert "it continues on b from the step where it stops, 30 or later; 0 steps lost (at worst 10," in text
    assert "about 4,000,000 bytes travel." in text


def test_nothing_travels_between_nodes_that_share_a_folder(make_job, make_node, node):
    facts = {"checkpoint_root_id": "one"}
    Node.objects.filter(id=node.id).update(facts=facts)
    job = make_job(devices=1)
    loop.schedule(job.pool)
    run_all()
    make_node("b", devices=2, facts=facts)
    (one,) = drains.plan_drain(Node.objects.get(id=node.id))
    assert one.sentence.endswith("; nothing travels.")


def test_a_job_without_room_is_said_to_wait(make_job, node):
    job = make_job(devices=1)
    loop.schedule(job.pool)
    run_all()
    (one,) = drains.plan_drain(node)
    assert one.sentence.startswith("waits, then continues from step 30 or later: No node of pool 'default'")
    assert "an unknown number of bytes travels" in one.sentence


def test_retiring_a_node_names_the_jobs_whose_checkpoints_are_lost(admin_browser, make_job, node):
    job = make_job(devices=1)
    loop.schedule(job.pool)
    run_all()
    attempt = Attempt.objects.select_related("node", "job__run").get()
    save(attempt, 31)
    Job.objects.filter(id=job.id).update(wanted_state="paused", state=JobState.STOPPING)
    end_attempt(attempt, AttemptState.STOPPED, "stopped", Cause.STOPPED)
    text = " ".join(admin_browser.get(f"/nodes/{node.id}/retire/", headers=HTMX).text.split())
    assert "The newest checkpoints of 1 job lie on this node only." in text and "paused: step 31" in text
