"""Runs read data sets of their own team; nodes copy them from the database."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.spec.spec import SpecError
from jobs import datasets
from jobs.agent.launch import LaunchError, prepare
from jobs.datasets import DatasetError
from jobs.models import Job
from jobs.queue import job_actions
from jobs.states.jobs import JobState
from tests.jobs.placed_jobs import assign

pytestmark = pytest.mark.django_db
PAIRS = "".join(f"{json.dumps({'source': f's {n}', 'target': 't'})}\n" for n in range(40)).encode()
LABELS = "".join(f"{json.dumps({'text': f's {n}', 'label': str(n % 5)})}\n" for n in range(40)).encode()


def store(team, owner, content=PAIRS):
    return datasets.store_upload(team=team, owner=owner, name="", file_name="a.jsonl", chunks=[content])


@pytest.fixture
def dataset(team, owner):
    return store(team, owner)


def spec_for(make_spec, dataset, *changes):
    return make_spec(
        f"data.corpus=dataset:{dataset.id}", "data.objective=pairs", "model.family=encoder-decoder", *changes
    )


def refusal(spec, team, owner) -> dict[str, str]:
    with pytest.raises(SpecError) as caught:
        job_actions.submit(spec=spec, team=team, owner=owner)
    return {problem.field: problem.message for problem in caught.value.problems}


def test_the_node_fetches_the_data_set_before_the_ranks_start(
    make_spec, dataset, team, owner, node, settings
):
    job = job_actions.submit(spec=spec_for(make_spec, dataset), team=team, owner=owner)
    prepare(assign(job), Path(settings.NODE_DIR), 0.0)
    assert (Path(settings.DATA_DIR) / "datasets" / f"{dataset.id}.jsonl").stat().st_size == dataset.size_bytes
    assert [run.id for run in datasets.runs_of(dataset)] == [job.run.id]


def test_a_data_set_of_another_team_is_refused(make_spec, dataset, other_team, stranger, node):
    problems = refusal(spec_for(make_spec, dataset), other_team, stranger)
    assert "has no data set" in problems["data.corpus"]
    assert problems == refusal(
        spec_for(make_spec, type("", (), {"id": "nonsense"})), other_team, stranger
    ) | {"data.corpus": problems["data.corpus"]}


def test_drafts_other_objectives_and_too_many_labels_are_refused_at_their_field(make_spec, team, owner, node):
    draft = store(team, owner, PAIRS + b"nonsense\n")
    assert "is a draft" in refusal(spec_for(make_spec, draft), team, owner)["data.corpus"]
    labels = store(team, owner, LABELS)
    assert "contains texts with labels" in refusal(spec_for(make_spec, labels), team, owner)["data.objective"]
    spec = make_spec(f"data.corpus=dataset:{labels.id}", "data.objective=classes", "model.family=encoder")
    assert "has 5 classes" in refusal(spec, team, owner)["model.classes"]


def test_removing_discards_a_draft_and_deletes_the_content_of_what_is_ready(dataset, team, owner):
    draft = store(team, owner, PAIRS + b"nonsense\n")
    datasets.remove(draft, owner)
    assert not type(draft).objects.filter(file_name=draft.file_name, state="draft").exists()
    datasets.remove(dataset, owner)
    dataset.refresh_from_db()
    assert dataset.archived_at


def test_data_of_a_waiting_job_cannot_be_deleted(make_spec, dataset, team, owner, node):
    job = job_actions.submit(spec=spec_for(make_spec, dataset), team=team, owner=owner)
    with pytest.raises(DatasetError, match="has not ended"):
        datasets.delete_content(dataset, owner)
    Job.objects.filter(id=job.id).update(state=JobState.SUCCEEDED)
    datasets.delete_content(dataset, owner)
    dataset.refresh_from_db()
    assert dataset.archived_at and not dataset.parts.exists()
    assert "was deleted" in refusal(spec_for(make_spec, dataset), team, owner)["data.corpus"]


def test_a_failed_fetch_fails_the_launch_with_the_reason(make_spec, dataset, team, owner, node, settings):
    job = job_actions.submit(spec=spec_for(make_spec, dataset), team=team, owner=owner)
    type(dataset).objects.filter(id=dataset.id).update(sha256="0" * 64)
    with pytest.raises(LaunchError, match="does not match its SHA-256"):
        prepare(assign(job), Path(settings.NODE_DIR), 0.0)
