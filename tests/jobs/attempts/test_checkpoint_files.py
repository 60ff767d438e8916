"""Listed checkpoints and their files."""

from __future__ import annotations

import shutil

import pytest
from django.utils import timezone

from engine.spec.spec import parse
from jobs.attempts.checkpoint_files import (
    FilesUnavailable,
    export_to_temporary_folder,
    get_folder,
    list_checkpoints,
    serialize,
)
from jobs.models import Checkpoint, Run
from tests.engine.checkpoints.sample_checkpoints import build_zero_weights, write_checkpoint

pytestmark = pytest.mark.django_db

SMALL = (
    "model.layers=1", "model.width=8", "model.heads=2", "model.ffn_width=8", "model.context=8", "data.tokenizer=bytes",
)  # fmt: skip


@pytest.fixture
def run(make_job, tmp_path, node, settings) -> Run:
    """A run with checkpoints at steps 10 (the best), 20 and 30 (not judged)."""
    settings.ARTEFACT_ROOT = tmp_path / "artefacts"
    job = make_job(*SMALL)
    attempt = job.attempts.create(number=1, node=node, state="failed", directory=str(tmp_path))
    spec = parse(job.spec)
    weights = build_zero_weights(spec)
    for step, loss in ((10, 1.5), (20, 1.75), (30, None)):
        path = write_checkpoint(tmp_path / "checkpoints", spec, weights, step)
        Checkpoint.objects.create(
            run=job.run,
            attempt=attempt,
            step=step,
            path=str(path),
            validation_loss=loss,
            saved_at=timezone.now(),
        )
    return job.run


def test_checkpoints_are_listed_newest_first_with_the_best_of_those_judged(run):
    found = list_checkpoints(run)
    assert [one.row.step for one in found] == [30, 20, 10]
    assert [one.is_newest for one in found] == [True, False, False]
    assert [one.is_best for one in found] == [False, False, True]
    assert found[2].start == f"{run.id}@10"
    assert found[0].forms == ["checkpoint", "huggingface"]
    assert serialize(found[2])["is_best"] and serialize(found[2])["start_from"] == f"{run.id}@10"


def test_files_on_another_machine_are_in_no_form(run):
    row = Checkpoint.objects.get(step=20)
    row.path = "/elsewhere/step-00000020"
    row.save()
    listed = next(one for one in list_checkpoints(run) if one.row.step == 20)
    assert listed.forms == [] and "are on node a" in listed.unreachable
    with pytest.raises(FilesUnavailable, match="/elsewhere"):
        get_folder(row)
    with pytest.raises(FilesUnavailable, match="/elsewhere"):
        export_to_temporary_folder(row)


def test_a_model_without_a_hugging_face_shape_has_its_own_form_only(run):
    run.spec["model"]["positions"] = "sinusoidal"
    assert all(one.forms == ["checkpoint"] and one.unfit for one in list_checkpoints(run))


def test_a_failed_export_leaves_no_folder(run, settings):
    row = Checkpoint.objects.get(step=10)
    for shard in get_folder(row).glob("*.safetensors"):
        shard.unlink()
    with pytest.raises(FilesUnavailable):
        export_to_temporary_folder(row)
    assert list(settings.ARTEFACT_ROOT.iterdir()) == []


def test_a_deleted_folder_is_unreachable(run):
    row = Checkpoint.objects.get(step=10)
    shutil.rmtree(row.path)
    assert next(one for one in list_checkpoints(run) if one.row == row).unreachable
