"""A person's decision to start a job from an earlier step."""

from __future__ import annotations

import random
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone

from engine.directory import AttemptDirectory, checkpoint_name
from jobs.attempts import checkpoints
from jobs.lifecycle.resumption import newest_step
from jobs.models import Checkpoint, Job, Node
from jobs.queue import restart
from jobs.scheduler import loop
from jobs.states.jobs import AttemptState, JobState, StateError
from tests.jobs.fake_supervisor import make_checkpoint

pytestmark = pytest.mark.django_db

CASES, SEED = 40, 5


def add_attempt(job: Job, number: int, node: Node, *steps: int) -> None:
    path = f"attempts/{job.id}-{number}"
    attempt = job.attempts.create(number=number, node=node, state=AttemptState.LOST, directory=path)
    for step in steps:
        Checkpoint.objects.create(
            run=job.run, attempt=attempt, step=step, path=f"{path}/checkpoints/step-{step:08d}",
            saved_at=timezone.now(),
        )  # fmt: skip
    Job.objects.filter(id=job.id).update(attempt_number=number)


@pytest.fixture
def stuck(make_job, make_node) -> Job:
    """A job whose checkpoint at step 40 lies on node a, and the newest, at step 70, on node b, which is retired."""
    job = make_job(devices=1)
    add_attempt(job, 1, Node.objects.get(name="a"), 20, 40)
    add_attempt(job, 2, make_node("b", devices=2, admin_state="retired"), 60, 70)
    loop.schedule(job.pool)
    return Job.objects.get(id=job.id)


def test_it_waits_and_says_so(stuck):
    assert stuck.state == JobState.QUEUED
    assert "(step 70) lies on node b, which is retired." in stuck.waiting_reason
    assert restart.is_stuck(stuck)
    assert restart.list_steps(stuck) == [40, 20, 0]


@pytest.mark.parametrize("step", [0, 20, 40])
def test_it_starts_from_the_chosen_step_once_a_person_says_so(stuck, step):
    out = StringIO()
    with pytest.raises(
        CommandError, match=rf"{70 - step} steps are given up for good: the checkpoint at step 70"
    ):
        call_command("restart", stuck.id, f"--step={step}", stdout=out)
    loop.schedule(stuck.pool)
    assert Job.objects.get(id=stuck.id).state == JobState.QUEUED, "nothing without --yes"
    call_command("restart", stuck.id, f"--step={step}", "--yes", stdout=out)
    loop.schedule(stuck.pool)
    now = Job.objects.get(id=stuck.id)
    assert (now.state, newest_step(stuck.id)) == (JobState.SCHEDULED, step or None)
    text = stuck.events.get(kind="job.restart").text
    assert text.startswith(f"Starts from step {step}, by decision of admin. {70 - step} steps")


def test_a_step_that_cannot_be_reached_is_refused_with_the_others(stuck):
    with pytest.raises(StateError, match="cannot start from step 70; it can start from step 40, 20, 0"):
        restart.restart(stuck, "olga", 70)
    Job.objects.filter(id=stuck.id).update(state=JobState.RUNNING)
    with pytest.raises(StateError, match="is running"):
        restart.restart(stuck, "olga")


def test_the_page_offers_it_with_a_question_and_to_writers_only(stuck, browser_of, owner, viewer):
    page = reverse("run-files", args=[stuck.run.id])
    answer = browser_of(owner).get(page).text
    assert "Start from step 0" in answer and "given up for good" in answer and "Start from step 40" in answer
    assert "Start from step" not in browser_of(viewer).get(page).text
    assert browser_of(viewer).post(reverse("run-restart", args=[stuck.run.id, 40])).status_code in (403, 404)
    browser_of(owner).post(reverse("run-restart", args=[stuck.run.id, 40]))
    assert Job.objects.get(id=stuck.id).restarts == [[2, 40]]


def test_the_api_needs_the_step_by_name(stuck, browser_of, owner):
    address = f"/api/v1/jobs/{stuck.id}/restart"
    assert browser_of(owner).post(address).status_code == 422
    assert browser_of(owner).post(f"{address}?step=70").status_code == 409
    assert browser_of(owner).post(f"{address}?step=0").status_code == 200
    assert Job.objects.get(id=stuck.id).restarts == [[2, 0]]


@pytest.mark.parametrize("case", range(CASES))
def test_what_was_given_up_never_counts_again(make_job, node, case, tmp_path):
    """Generated histories: attempts with checkpoints, decisions, and disks that return with unknown checkpoints."""
    rng = random.Random(SEED * 1000 + case)
    job = make_job(devices=1)
    counted: dict[tuple[int, int], bool] = {}  # attempt, step -> whether it counts
    decisions: list[tuple[int, int]] = []
    for number in range(1, rng.randint(3, 7)):
        start = max((step for (_, step), counts in counted.items() if counts), default=0)
        steps = sorted(rng.sample(range(start + 1, start + 50), rng.randint(0, 4)))
        late = [step for step in steps if rng.random() < 0.3]  # on the disk of a node that was away
        add_attempt(job, number, node, *[step for step in steps if step not in late])
        counted |= {(number, step): True for step in steps if step not in late}
        if rng.random() < 0.5:
            limit = rng.choice(restart.list_steps(job))
            restart.restart(job, "olga", limit)
            decisions.append((number, limit))
            counted = {key: counts and key[1] <= limit for key, counts in counted.items()}
        for step in late:
            register(job, number, step, tmp_path)
            counted[number, step] = not any(number <= last and step > limit for last, limit in decisions)
        expected = max((step for (_, step), counts in counted.items() if counts), default=None)
        assert newest_step(job.id) == expected


def register(job: Job, number: int, step: int, node_dir: Path) -> None:
    """Let the agent find a checkpoint without a row."""
    attempt = job.attempts.select_related("job__run").get(number=number)
    directory = AttemptDirectory(node_dir / attempt.directory)
    make_checkpoint(directory, step)
    attempt.job.refresh_from_db()
    place = checkpoints.place_of(attempt, directory)
    assert checkpoints.register(attempt, directory.checkpoints / checkpoint_name(step), place)
