"""Lineage of a run through the checkpoints that runs start from."""

from __future__ import annotations

import pytest
from django.utils import timezone

from jobs.models import Checkpoint, Job, Run
from jobs.runs import lineage
from jobs.runs.lineage import MAX_CHILDREN, MAX_GENERATIONS, get_lineage

pytestmark = pytest.mark.django_db


@pytest.fixture
def start_from(make_job, node):
    """Return a job that starts from a checkpoint of the given one, at step 10."""

    def start(parent: Job | None, name: str) -> Job:
        job = make_job(name=name)
        if parent is not None:
            attempt, _ = parent.attempts.get_or_create(number=1, node=node, state="failed")
            checkpoint, _ = Checkpoint.objects.get_or_create(
                run=parent.run, attempt=attempt, step=10, defaults={"path": "x", "saved_at": timezone.now()}
            )
            Job.objects.filter(id=job.id).update(start_checkpoint=checkpoint)
        return Job.objects.get(id=job.id)

    return start


def test_ancestors_are_listed_oldest_first_and_children_newest_first(start_from):
    oldest = start_from(None, "oldest")
    parent = start_from(oldest, "parent")
    run = start_from(parent, "run")
    children = [start_from(run, name) for name in ("first", "second")]
    found = get_lineage(run.run, Run.objects.all())
    assert [(one.title, one.step) for one in found.ancestors] == [("oldest", 10), ("parent", 10)]
    assert [one.run for one in found.children] == [children[1].run, children[0].run]
    assert (found.num_children, found.is_longer, bool(found)) == (2, False, True)
    assert lineage.serialize(found.ancestors[0]) == {"run": oldest.run.id, "name": "oldest", "step": 10}


def test_a_run_that_the_reader_may_not_see_has_no_name(start_from):
    parent = start_from(None, "secret")
    run = start_from(parent, "run")
    found = get_lineage(run.run, Run.objects.filter(id=run.run.id))
    assert [(one.title, one.run, one.step) for one in found.ancestors] == [
        ("a run of another team", None, 10)
    ]
    assert not get_lineage(parent.run, Run.objects.none())


def test_long_lines_and_many_children_are_cut(start_from):
    job = start_from(None, "oldest")
    for generation in range(MAX_GENERATIONS + 1):
        job = start_from(job, f"generation {generation}")
    found = get_lineage(job.run, Run.objects.all())
    assert len(found.ancestors) == MAX_GENERATIONS and found.is_longer
    parent = start_from(None, "parent")
    for number in range(MAX_CHILDREN + 2):
        start_from(parent, f"child {number}")
    found = get_lineage(parent.run, Run.objects.all())
    assert (len(found.children), found.num_children) == (MAX_CHILDREN, MAX_CHILDREN + 2)


def test_a_folder_is_the_oldest_ancestor(start_from):
    parent = start_from(None, "parent")
    parent.spec["start_from"] = "models/gpt2"
    parent.save()
    run = start_from(parent, "run")
    found = get_lineage(run.run, Run.objects.all())
    assert [one.title for one in found.ancestors] == ["Hugging Face folder models/gpt2", "parent"]
