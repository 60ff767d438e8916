"""Initial weights from another run: lookup, checks at submit, protection from deletion, hand-over to the ranks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.checkpoints.folder import is_held
from engine.checkpoints.huggingface.export import export
from engine.spec.problems import Problem, SpecError
from jobs.agent import launch
from jobs.agent.launch import LaunchError
from jobs.agent.resuming import CheckpointAway
from jobs.attempts import checkpoints, observations
from jobs.attempts.ingest import ingest
from jobs.attempts.retention import clean_up
from jobs.lifecycle.ending import end_attempt
from jobs.lifecycle.transitions import move_job
from jobs.models import Job, Node
from jobs.nodes import inventory
from jobs.queue import job_actions
from jobs.states.jobs import AttemptState, Cause, JobState, StateError
from tests.engine.checkpoints.sample_checkpoints import build_zero_weights, small, write_checkpoint
from tests.jobs.fake_supervisor import make_checkpoint, write_spool
from tests.jobs.placed_jobs import assign, claim

pytestmark = pytest.mark.django_db


@pytest.fixture
def node_dir(settings: Any, node: Any) -> Path:
    settings.NODE_DIR.mkdir()
    (settings.NODE_DIR / "node_id").write_text(node.id)
    assert inventory.node_id(settings.NODE_DIR) == node.id
    return settings.NODE_DIR


@pytest.fixture
def parent(make_job, node_dir) -> Job:
    """A job whose run has checkpoints at steps 20 (the best), 40 and 60, and has ended."""
    job = make_job(name="parent")
    attempt, directory = claim(job, node_dir)
    for step, loss in ((20, 1.5), (40, 1.9), (60, 1.7)):
        line = make_checkpoint(directory, step)
        manifest = {"format": 2, "step": step, "files": {}, "spec": job.spec, "layout": {}}
        (directory.checkpoints / line.text / "manifest.json").write_text(json.dumps(manifest))
        write_spool(directory, with_validation_loss(line, loss))
    ingest(attempt)
    end_attempt(attempt, AttemptState.SUCCEEDED, "Finished.", Cause.DONE)
    return Job.objects.get(id=job.id)


def with_validation_loss(line: Any, loss: float) -> Any:
    return type(line)(
        line.k, line.at, line.source, step=line.step, text=line.text, seconds=line.seconds,
        metrics={"validation_loss": loss, "checkpoint_block_s": 0.01},
    )  # fmt: skip


def refused(make_job, *changes: str) -> tuple[Problem, ...]:
    with pytest.raises(SpecError) as caught:
        make_job(*changes)
    return caught.value.problems


@pytest.mark.parametrize(("text", "step"), [("{}", 60), ("{}@best", 20), ("{}@40", 40)])
def test_a_run_its_best_and_a_step_resolve_to_a_step(parent, make_job, text, step):
    job = make_job(f"start_from={text.format(parent.run.id)}")
    assert job.spec["start_from"] == f"{parent.run.id}@{step}"
    assert job.start_checkpoint.step == step
    assert job.start_checkpoint.run == parent.run


def test_the_placement_names_the_folder_and_its_title(parent, make_job, node_dir):
    job = make_job(f"start_from={parent.run.id}@40")
    _, directory = claim(job, node_dir)
    placement = directory.read_placement()
    assert placement.start_from == str(node_dir / parent.run.checkpoints.get(step=40).path)
    assert placement.start_title == f"run parent ({parent.run.id}) at step 40"
    assert placement.resume_from is None


def test_weights_of_another_shape_are_refused_at_each_field_with_a_fix(parent, make_job):
    problems = refused(make_job, f"start_from={parent.run.id}", "model.width=64", "data.vocab_size=512")
    assert [(one.field, dict(one.fix)) for one in problems] == [
        ("model.width", {"model.width": 128}),
        ("data.vocab_size", {"data.vocab_size": 2048}),
    ]
    assert "at step 60 have model.width 128; the spec has 64. Use 128." in problems[0].message
    fixed = [f"{path}={value}" for one in problems for path, value in one.fix.items()]
    assert make_job(f"start_from={parent.run.id}", *fixed).start_checkpoint


def test_a_missing_step_is_refused_with_the_existing_ones(parent, make_job):
    [problem] = refused(make_job, f"start_from={parent.run.id}@50")
    assert problem.message.endswith("has no checkpoint '50'; it has steps 20, 40, 60.")
    assert make_job(f"start_from={problem.fix['start_from']}").start_checkpoint.step == 60


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("0123456789ab", "Team Research has no run '0123456789ab'."),
        ("nowhere", "'nowhere' is neither a run of this team nor a folder in the data folder."),
        ("../secret", "is neither a run of this team nor a folder in the data folder."),
    ],
)
def test_an_unknown_source_is_refused_with_the_accepted_forms(parent, make_job, text, sentence):
    [problem] = refused(make_job, f"start_from={text}")
    assert sentence in problem.message and problem.field == "start_from"


def test_a_run_of_another_team_is_refused(parent, stranger, other_team, make_spec):
    with pytest.raises(SpecError, match="Team Others has no run"):
        job_actions.submit(spec=make_spec(f"start_from={parent.run.id}"), team=other_team, owner=stranger)


def test_a_checkpoint_of_another_node_is_accepted_unless_that_node_is_retired(
    parent, make_node, make_job, node
):
    make_node("b", devices=2)
    assert make_job(f"start_from={parent.run.id}").start_checkpoint.step == 60
    Node.objects.filter(id=node.id).update(admin_state="retired")
    [problem] = refused(make_job, f"start_from={parent.run.id}")
    assert "is on node a, which is retired, and nowhere else." in problem.message


def test_the_checkpoint_is_held_until_the_job_has_ended(parent, make_job, node, node_dir):
    job = make_job(f"start_from={parent.run.id}@20")
    path = node_dir / job.start_checkpoint.path
    assert is_held(path), "at once, where this machine can reach it"
    (path / f"held-{job.id}").unlink()
    checkpoints.update_holds(node, node_dir)
    assert is_held(path), "and by the agent of its node elsewhere"
    move_job(job.id, JobState.CANCELLED, actor="tom")
    checkpoints.update_holds(node, node_dir)
    assert not is_held(path)


def test_tidy_keeps_the_checkpoint_that_a_job_starts_from(parent, make_job, node_dir):
    job = make_job(f"start_from={parent.run.id}@20")
    for number in (2, 3):
        move_job(parent.id, JobState.FAILED, actor="test")
        Job.objects.filter(id=parent.id).update(state=JobState.QUEUED)
        attempt, directory = claim(Job.objects.get(id=parent.id), node_dir)
        write_spool(directory, make_checkpoint(directory, 60 + number))
        end_attempt(attempt, AttemptState.FAILED, "boom", Cause.WORKLOAD)
    clean_up(node_dir, keep=1)
    assert (node_dir / job.start_checkpoint.path).is_dir()


def test_a_deleted_checkpoint_is_noticed_and_a_retry_that_needs_it_is_refused(
    parent, make_job, node, node_dir
):
    job = make_job(f"start_from={parent.run.id}@20")
    (node_dir / job.start_checkpoint.path / "manifest.json").unlink()
    observations.observe(node, node_dir)
    assert [one.step for one in checkpoints.list_checkpoints(parent.run)] == [60, 40]
    move_job(job.id, JobState.CANCELLED, actor="tom")
    with pytest.raises(StateError, match="at step 20, but the files of that checkpoint are missing since"):
        job_actions.retry(Job.objects.get(id=job.id), actor="tom")


def test_a_hugging_face_folder_in_the_data_folder_is_accepted(make_job, settings, node_dir, tmp_path):
    spec = small()
    export(write_checkpoint(tmp_path, spec, build_zero_weights(spec)), settings.CORPUS_ROOT / "gpt")
    changes = [
        f"model.{name}={value}" for name, value in small().model.model_dump().items() if value is not None
    ]
    job = make_job("start_from=gpt", "data.tokenizer=bytes", *changes)
    assert (job.start_checkpoint, job.spec["start_from"]) == (None, "gpt")
    _, directory = claim(job, node_dir)
    assert directory.read_placement().start_from == str(settings.CORPUS_ROOT / "gpt")
    problems = refused(make_job, "start_from=gpt", "data.tokenizer=bytes", *changes, "model.layers=3")
    assert "The weights of the folder gpt have model.layers 2; the spec has 3." in problems[0].message


def test_a_job_waits_for_a_checkpoint_that_its_node_does_not_see(parent, make_job, node_dir):
    job = make_job(f"start_from={parent.run.id}@20")
    attempt = assign(job)
    away = (node_dir / "attempts").rename(node_dir / "unmounted")
    with pytest.raises(CheckpointAway, match="node a does not see the checkpoint at step 20"):
        launch.prepare(attempt, node_dir, lease_until=0.0)
    away.rename(node_dir / "attempts")
    assert launch.prepare(attempt, node_dir, lease_until=0.0) is not None


def test_a_damaged_checkpoint_fails_the_launch_with_the_reason(parent, make_job, node_dir):
    job = make_job(f"start_from={parent.run.id}@20")
    (node_dir / job.start_checkpoint.path / "manifest.json").write_text("not a manifest")
    with pytest.raises(LaunchError, match="at step 20 cannot be started from: its files are lost or damaged"):
        claim(job, node_dir)


def test_checkpoint_rows_have_size_loss_and_path(parent, node_dir):
    rows = list(checkpoints.list_checkpoints(parent.run))
    assert [(one.step, one.validation_loss) for one in rows] == [(60, 1.7), (40, 1.9), (20, 1.5)]
    assert all(one.size_bytes > 0 and (node_dir / one.path).is_dir() for one in rows)
    assert checkpoints.best(parent.run).step == 20
