"""Runs through MLflow's own client."""

from __future__ import annotations

import random

import pytest
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException, RestException

from jobs import series
from jobs.models import Run, RunEvent
from jobs.states.jobs import JobState

pytestmark = pytest.mark.slow


def test_a_run_is_there_while_its_block_runs_and_has_succeeded_after_it(tracked, owner, team):
    with tracked.start_run(run_name="first", description="what it is for", tags={"seed": "3"}) as active:
        run = Run.objects.get(id=active.info.run_id)
        assert (run.name, run.state, run.origin, run.owner, run.team) == (
            "first",
            "running",
            "mlflow",
            owner,
            team,
        )
        assert run.note == "what it is for"
    run.refresh_from_db()
    assert run.state == JobState.SUCCEEDED and run.ended_at > run.started_at
    found = tracked.get_run(run.id)
    assert found.info.status == "FINISHED" and found.data.tags["seed"] == "3"
    assert found.data.tags["mlflow.runName"] == "first"
    assert found.data.tags["mlflow.note.content"] == "what it is for"


def test_a_block_that_raises_leaves_a_failed_run(tracked):
    with pytest.raises(ZeroDivisionError), tracked.start_run():
        raise ZeroDivisionError
    assert Run.objects.get().state == JobState.FAILED


@pytest.mark.parametrize(
    ("status", "state"),
    [("KILLED", "cancelled"), ("SCHEDULED", "queued"), ("RUNNING", "running"), ("FAILED", "failed")],
)
def test_each_status_is_a_state_of_ours(client, status, state):
    run_id = client.create_run("0").info.run_id
    client.update_run(run_id, status=status)
    assert Run.objects.get().state == state
    assert client.get_run(run_id).info.status == status
    assert (client.get_run(run_id).info.end_time is None) == (state in ("queued", "running"))


def test_a_nested_run_hangs_under_its_parent(tracked, client):
    with tracked.start_run() as parent, tracked.start_run(nested=True) as child:
        assert Run.objects.get(id=child.info.run_id).parent_id == parent.info.run_id
    found = client.search_runs(["0"], f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
    assert [run.info.run_id for run in found] == [child.info.run_id]


def test_a_circle_of_parents_is_refused(client):
    one, two = (client.create_run("0").info.run_id for _ in range(2))
    client.set_tag(two, "mlflow.parentRunId", one)
    with pytest.raises(RestException, match="the reverse would be a cycle"):
        client.set_tag(one, "mlflow.parentRunId", two)


def test_a_run_is_renamed_from_both_sides(client):
    run_id = client.create_run("0", run_name="old").info.run_id
    client.set_tag(run_id, "mlflow.runName", "new")
    assert Run.objects.get().name == "new"
    client.update_run(run_id, name="newer")
    assert (
        client.get_run(run_id).info.run_name == client.get_run(run_id).data.tags["mlflow.runName"] == "newer"
    )
    Run.objects.update(name="by a person")
    assert client.get_run(run_id).data.tags["mlflow.runName"] == "by a person"


def test_two_names_for_one_run_are_refused(client):
    with pytest.raises(RestException, match="different values"):
        client.create_run("0", run_name="a", tags={"mlflow.runName": "b"})


def test_delete_archives_restore_brings_back_and_nothing_is_lost(tracked, client):
    with tracked.start_run() as run:
        tracked.log_metric("loss", 1.0)
    client.delete_run(run.info.run_id)
    assert client.get_run(run.info.run_id).info.lifecycle_stage == "deleted"
    assert not client.search_runs(["0"])
    assert len(client.search_runs(["0"], run_view_type=ViewType.DELETED_ONLY)) == 1
    with pytest.raises(RestException, match="must be in the 'active' state"):
        client.log_metric(run.info.run_id, "loss", 2.0)
    client.restore_run(run.info.run_id)
    assert client.get_run(run.info.run_id).data.metrics == {"loss": 1.0}
    assert [kind for kind in RunEvent.objects.values_list("kind", flat=True) if "ed" in kind][-2:] == [
        "run.archived",
        "run.restored",
    ]


def test_a_run_goes_on_where_it_was_left(tracked):
    with tracked.start_run() as run:
        tracked.log_metric("loss", 2.0, step=1)
    with tracked.start_run(run_id=run.info.run_id):
        assert Run.objects.get().state == JobState.RUNNING and Run.objects.get().ended_at is None
        tracked.log_metric("loss", 1.0, step=2)
    assert tracked.get_run(run.info.run_id).data.metrics == {"loss": 1.0}


def test_steps_made_again_by_a_resumed_script_supersede_the_earlier_ones(tracked):
    """Sessions of one run, each from a drawn checkpoint; charts show each from where the next one began."""
    draw = random.Random(20261201)
    with tracked.start_run() as run:
        run_id = run.info.run_id
    shown: dict[int, float] = {}
    begin = 0
    for session in range(5):
        end = begin + draw.randint(2, 8)
        with tracked.start_run(run_id=run_id):
            for step in range(begin, end):
                tracked.log_metric("loss", session + step / 100, step=step)
            tracked.log_metric("validated", float(session), step=end)  # never repeated
        shown = {step: value for step, value in shown.items() if step < begin}
        shown |= {step: session + step / 100 for step in range(begin, end)}
        begin = draw.randint(0, end)
    (line,) = series.read([run_id], ["loss"])
    assert list(zip(line.x, line.mean, strict=True)) == sorted(shown.items())
    assert len(tracked.MlflowClient().get_metric_history(run_id, "loss")) > len(shown)  # nothing is deleted


def test_a_tag_takes_a_new_value_and_goes(client):
    run_id = client.create_run("0").info.run_id
    client.set_tag(run_id, "a", "1")
    client.set_tag(run_id, "a", "2")
    assert client.get_run(run_id).data.tags["a"] == "2"
    client.delete_tag(run_id, "a")
    with pytest.raises(RestException) as caught:
        client.delete_tag(run_id, "a")
    assert caught.value.error_code == "RESOURCE_DOES_NOT_EXIST"


def test_data_sets_are_kept_with_the_run(tracked, client):
    from mlflow.data.http_dataset_source import HTTPDatasetSource
    from mlflow.data.meta_dataset import MetaDataset

    data = MetaDataset(HTTPDatasetSource("https://example.org/wiki.txt"), name="wiki", digest="abc1")
    with tracked.start_run() as run:
        tracked.log_input(data, context="training")
        tracked.log_input(data, context="training")
    [found] = client.get_run(run.info.run_id).inputs.dataset_inputs
    assert (found.dataset.name, found.dataset.digest) == ("wiki", "abc1")
    assert [(tag.key, tag.value) for tag in found.tags] == [("mlflow.data.context", "training")]
    assert len(client.search_runs(["0"], "datasets.name = 'wiki' AND datasets.context LIKE 'train%'")) == 1
    assert not client.search_runs(["0"], "datasets.digest = 'abc2'")


def test_a_jobs_run_is_read_like_any_other_and_takes_tags_but_no_metrics(client, make_job):
    job = make_job()
    found = client.get_run(job.run.id)
    assert found.info.status == "SCHEDULED" and found.data.params["model.layers"]
    client.set_tag(job.run.id, "baseline", "")
    for call in (
        lambda: client.log_metric(job.run.id, "loss", 1.0),
        lambda: client.log_param(job.run.id, "x", 1),
    ):
        with pytest.raises(MlflowException, match="belongs to job"):
            call()
    with pytest.raises(RestException, match="only the queue changes its state"):
        client.set_terminated(job.run.id)
