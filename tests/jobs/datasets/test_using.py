"""Runs name data sets of their own team, and nodes get them from the database."""

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


def taken(team, owner, content=PAIRS):
    return datasets.take(team=team, owner=owner, name="", file_name="a.jsonl", pieces=[content])


@pytest.fixture
def dataset(team, owner):
    return taken(team, owner)


def spec_for(make_spec, dataset, *changes):
    return make_spec(
        f"data.corpus=dataset:{dataset.id}", "data.objective=pairs", "model.family=encoder-decoder", *changes
    )


def refusal(spec, team, owner) -> dict[str, str]:
    with pytest.raises(SpecError) as caught:
        job_actions.submit(spec=spec, team=team, owner=owner)
    return {problem.field: problem.message for problem in caught.value.problems}


def test_a_team_trains_on_its_own_data_and_the_node_has_it_before_the_ranks(
    make_spec, dataset, team, owner, node, settings
):
    job = job_actions.submit(spec=spec_for(make_spec, dataset), team=team, owner=owner)
    prepare(assign(job), Path(settings.NODE_DIR), 0.0)
    assert (Path(settings.DATA_DIR) / "datasets" / f"{dataset.id}.jsonl").stat().st_size == dataset.size_bytes
    assert [run.id for run in datasets.runs_of(dataset)] == [job.run.id]


def test_another_teams_data_is_not_there(make_spec, dataset, other_team, stranger, node):
    said = refusal(spec_for(make_spec, dataset), other_team, stranger)
    assert "has no data set" in said["data.corpus"]
    assert said == refusal(spec_for(make_spec, type("", (), {"id": "nonsense"})), other_team, stranger) | {
        "data.corpus": said["data.corpus"]
    }


def test_drafts_other_objectives_and_more_labels_are_refused_at_their_field(make_spec, team, owner, node):
    draft = taken(team, owner, PAIRS + b"nonsense\n")
    assert "is a draft" in refusal(spec_for(make_spec, draft), team, owner)["data.corpus"]
    labels = taken(team, owner, LABELS)
    assert "holds texts with labels" in refusal(spec_for(make_spec, labels), team, owner)["data.objective"]
    spec = make_spec(f"data.corpus=dataset:{labels.id}", "data.objective=classes", "model.family=encoder")
    assert "has 5 classes" in refusal(spec, team, owner)["model.classes"]


def test_removing_discards_a_draft_and_deletes_the_content_of_what_is_ready(dataset, team, owner):
    draft = taken(team, owner, PAIRS + b"nonsense\n")
    datasets.remove(draft, owner)
    assert not type(draft).objects.filter(file_name=draft.file_name, state="draft").exists()
    datasets.remove(dataset, owner)
    dataset.refresh_from_db()
    assert dataset.archived_at


def test_data_that_a_waiting_job_needs_cannot_be_deleted(make_spec, dataset, team, owner, node):
    job = job_actions.submit(spec=spec_for(make_spec, dataset), team=team, owner=owner)
    with pytest.raises(DatasetError, match="has not ended"):
        datasets.delete(dataset, owner)
    Job.objects.filter(id=job.id).update(state=JobState.SUCCEEDED)
    datasets.delete(dataset, owner)
    dataset.refresh_from_db()
    assert dataset.archived_at and not dataset.parts.exists()
    assert "was deleted" in refusal(spec_for(make_spec, dataset), team, owner)["data.corpus"]


def test_a_node_that_cannot_get_the_data_says_so(make_spec, dataset, team, owner, node, settings):
    job = job_actions.submit(spec=spec_for(make_spec, dataset), team=team, owner=owner)
    type(dataset).objects.filter(id=dataset.id).update(sha256="0" * 64)
    with pytest.raises(LaunchError, match="did not come whole"):
        prepare(assign(job), Path(settings.NODE_DIR), 0.0)
