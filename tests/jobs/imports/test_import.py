"""Import of files written by TensorBoard 2.21.0, W&B 0.31.0 and MLflow 3.17.2 (2026-11-22)."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from jobs import series
from jobs.models import Run
from jobs.people import accounts

pytestmark = pytest.mark.django_db
RECORDED = Path(__file__).parent / "recorded"


@pytest.fixture(autouse=True)
def admin():
    return accounts.ensure_first_team_and_user()


@pytest.fixture
def import_files(capsys):
    def run_import(tracker, path, *options):
        call_command("import", tracker, str(path), *options)
        return capsys.readouterr().out.splitlines()

    return run_import


@pytest.fixture
def mlflow_sqlite(tmp_path):
    path = tmp_path / "mlflow.db"
    with sqlite3.connect(path) as database:
        database.executescript((RECORDED / "mlflow.sql").read_text())
    return path


def run_named(name):
    return Run.objects.get(name=name)


def line(run, metric, x="step"):
    (found,) = series.read([run.id], [metric], x=x, points=10_000)
    return found


def shape():
    """Everything that a second import of the same files must not change."""
    return sorted(
        (run.name, run.state, name.metric, name.count, str(name.last_value))
        for run in Run.objects.all()
        for name in series.names(run.id)
    )


def test_tensorboard_folders_are_runs_with_scalars_of_both_forms(import_files):
    import_files("tensorboard", RECORDED / "tensorboard")
    assert sorted(Run.objects.values_list("name", "origin")) == [("a", "tensorboard"), ("b/c", "tensorboard")]
    eval_loss = line(run_named("a"), "eval/loss")
    assert eval_loss.x.tolist() == list(range(0, 60, 10))
    assert eval_loss.mean.tolist() == pytest.approx([5 - 0.01 * step for step in range(0, 60, 10)])


def test_a_tensorboard_restart_supersedes_the_steps_it_repeats(import_files, tmp_path):
    shutil.copytree(RECORDED / "tensorboard", tmp_path / "logs")
    next((tmp_path / "logs").rglob("*.2")).unlink()
    import_files("tensorboard", tmp_path / "logs")
    loss = line(run_named("a"), "loss")
    assert loss.x.tolist() == list(range(60))
    assert (loss.borders, loss.superseded) == ([30], 20)


def test_a_restart_of_one_writer_does_not_hide_points_of_another(import_files):
    import_files("tensorboard", RECORDED / "tensorboard")
    loss = line(run_named("a"), "loss")
    assert (loss.count, loss.superseded, loss.borders) == (60, 20, [30])
    assert line(run_named("a"), "eval/loss").count == 6


def test_a_wandb_run_keeps_its_config_tags_note_and_non_finite_values(import_files):
    (output,) = import_files("wandb", RECORDED / "recorded.wandb")
    run = run_named("first light")
    assert (run.project.name, run.state, run.note) == ("tiny", "succeeded", "A note.")
    params = dict(run.params.values_list("key", "value"))
    assert params == {"lr": "0.0003", "model.layers": "8", "model.name": "gpt", "seed": "7"}
    tags = dict(run.tags.exclude(key__startswith="fourwalls.").values_list("key", "value"))
    assert tags == {"baseline": "", "night": "", "group": "seeds"}
    loss = line(run, "loss")
    assert loss.x.tolist() == [*range(31), 40]
    assert loss.mean.tolist()[:30] == [5.0 - 0.1 * step for step in range(30)]
    assert loss.non_finite == [(30, "NaN")]
    assert line(run, "odd").non_finite == [(30, "Infinity")]
    assert len(line(run, "eval/acc").x) == 10
    assert "text (no scalar)" in output and "hist (no scalar)" in output


def test_a_truncated_wandb_file_is_imported_and_completed_later(import_files, tmp_path):
    whole = (RECORDED / "recorded.wandb").read_bytes()
    path = tmp_path / "run.wandb"
    path.write_bytes(whole[: len(whole) // 2])
    import_files("wandb", path)
    run = run_named("first light")
    before = len(line(run, "loss").x)
    assert 0 < before < 32 and run.state == "failed"
    path.write_bytes(whole)
    (output,) = import_files("wandb", path)
    assert "known" in output
    assert line(run, "loss").x.tolist() == [*range(31), 40]
    assert run_named("first light").state == "succeeded"


@pytest.mark.parametrize("store", ["folder", "sqlite"])
def test_both_stores_of_mlflow_give_the_same_runs(import_files, store, mlflow_sqlite):
    import_files("mlflow", RECORDED / "mlruns" if store == "folder" else mlflow_sqlite)
    parent, child, bad = run_named("parent"), run_named("child"), run_named("bad")
    assert (parent.project.name, parent.note, bad.state) == ("tiny", "A note.", "failed")
    assert child.parent == parent
    assert dict(parent.params.values_list("key", "number")) == {"lr": 0.001, "model": None}
    assert parent.tags.get(key="team").value == "blue"
    assert line(parent, "train/loss").mean.tolist() == [5 - 0.1 * step for step in range(20)]
    assert parent.metrics.get(key="train/loss").low == pytest.approx(3.1)
    assert line(parent, "odd").non_finite[0] == (1, "NaN")
    assert (parent.ended_at - parent.started_at).total_seconds() < 60


@pytest.mark.parametrize("source", ["tensorboard", "wandb", "mlflow", "mlflow_sqlite"])
def test_importing_the_same_files_again_changes_nothing(import_files, source, mlflow_sqlite):
    path = {"tensorboard": RECORDED / "tensorboard", "wandb": RECORDED, "mlflow": RECORDED / "mlruns"}
    arguments = (source.split("_")[0], path.get(source, mlflow_sqlite))
    import_files(*arguments)
    before = shape()
    assert before
    assert all(" 0 points" in output for output in import_files(*arguments))
    assert shape() == before


def test_points_added_later_are_imported_the_next_time(import_files, tmp_path):
    shutil.copytree(RECORDED / "mlruns", tmp_path / "mlruns")
    import_files("mlflow", tmp_path / "mlruns")
    (file,) = (tmp_path / "mlruns").rglob("train/loss")
    with file.open("a") as more:
        more.write("1790000000000 -3.5 20\n")
    parent_lines = [text for text in import_files("mlflow", tmp_path / "mlruns") if "parent" in text]
    assert " 1 points" in parent_lines[0]
    assert line(run_named("parent"), "train/loss").mean.tolist()[-1] == -3.5


@pytest.mark.parametrize(
    ("tracker", "content", "reason"),
    [
        ("tensorboard", b"not an event file at all", "is not an event file"),
        ("wandb", b"neither is this", "is not a file of a W&B"),
        ("mlflow", b"nor this", "is not an SQLite store of MLflow"),
    ],
)
def test_a_file_of_another_format_is_refused_with_its_name(import_files, tmp_path, tracker, content, reason):
    name = {"tensorboard": "events.out.tfevents.1", "wandb": "x.wandb", "mlflow": "x.db"}[tracker]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CommandError, match=reason) as refused:
        import_files(tracker, tmp_path if tracker == "tensorboard" else path)
    assert name in str(refused.value)


def test_a_damaged_wandb_file_is_refused_with_the_offset(import_files, tmp_path):
    content = bytearray((RECORDED / "recorded.wandb").read_bytes())
    content[2000] ^= 0xFF
    path = tmp_path / "x.wandb"
    path.write_bytes(content)
    with pytest.raises(CommandError, match="is damaged at byte"):
        import_files("wandb", path)


@pytest.mark.parametrize("tracker", ["tensorboard", "wandb", "mlflow"])
def test_an_empty_folder_is_refused(import_files, tmp_path, tracker):
    with pytest.raises(CommandError, match=r"contains no|is not an MLflow store"):
        import_files(tracker, tmp_path)


def test_a_stranger_cannot_import_runs_into_a_team(import_files, tmp_path, django_user_model):
    django_user_model.objects.create(username="stranger")
    with pytest.raises(CommandError, match="not a member of team 'default'"):
        import_files("wandb", RECORDED, "--user", "stranger", "--team", "default")
    assert not Run.objects.exists()


def test_a_named_project_gets_all_runs(import_files):
    import_files("wandb", RECORDED, "--project", "gathered")
    assert Run.objects.get().project.name == "gathered"
