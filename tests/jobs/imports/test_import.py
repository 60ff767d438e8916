"""Files that TensorBoard 2.21.0, W&B 0.31.0 and MLflow 3.17.2 wrote themselves (2026-11-22), brought in."""

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
def bring(capsys):
    def bring(tracker, path, *options):
        call_command("import", tracker, str(path), *options)
        return capsys.readouterr().out.splitlines()

    return bring


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
    """Everything that must not change when the same files come again."""
    return sorted(
        (run.name, run.state, name.metric, name.count, str(name.last_value))
        for run in Run.objects.all()
        for name in series.names(run.id)
    )


def test_tensorboard_runs_are_folders_and_both_forms_of_scalars_count(bring):
    bring("tensorboard", RECORDED / "tensorboard")
    assert sorted(Run.objects.values_list("name", "origin")) == [("a", "tensorboard"), ("b/c", "tensorboard")]
    eval_loss = line(run_named("a"), "eval/loss")
    assert eval_loss.x.tolist() == list(range(0, 60, 10))
    assert eval_loss.mean.tolist() == pytest.approx([5 - 0.01 * step for step in range(0, 60, 10)])


def test_a_restart_in_tensorboard_supersedes_what_it_makes_again(bring, tmp_path):
    shutil.copytree(RECORDED / "tensorboard", tmp_path / "logs")
    next((tmp_path / "logs").rglob("*.2")).unlink()
    bring("tensorboard", tmp_path / "logs")
    loss = line(run_named("a"), "loss")
    assert loss.x.tolist() == list(range(60))
    assert (loss.borders, loss.superseded) == ([30], 20)


def test_a_restart_of_one_writer_hides_nothing_of_another(bring):
    bring("tensorboard", RECORDED / "tensorboard")
    assert (line(run_named("a"), "loss").count, line(run_named("a"), "eval/loss").count) == (80, 6)


def test_a_wandb_run_keeps_its_config_tags_note_and_what_is_not_finite(bring):
    (said,) = bring("wandb", RECORDED / "recorded.wandb")
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
    assert "text (no scalar)" in said and "hist (no scalar)" in said


def test_a_killed_wandb_run_gives_what_it_wrote_and_goes_on_later(bring, tmp_path):
    whole = (RECORDED / "recorded.wandb").read_bytes()
    path = tmp_path / "run.wandb"
    path.write_bytes(whole[: len(whole) // 2])
    bring("wandb", path)
    run = run_named("first light")
    before = len(line(run, "loss").x)
    assert 0 < before < 32 and run.state == "failed"
    path.write_bytes(whole)
    (said,) = bring("wandb", path)
    assert "known" in said
    assert line(run, "loss").x.tolist() == [*range(31), 40]
    assert run_named("first light").state == "succeeded"


@pytest.mark.parametrize("store", ["folder", "sqlite"])
def test_both_stores_of_mlflow_give_the_same_runs(bring, store, mlflow_sqlite):
    bring("mlflow", RECORDED / "mlruns" if store == "folder" else mlflow_sqlite)
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
def test_the_same_files_again_change_nothing(bring, source, mlflow_sqlite):
    path = {"tensorboard": RECORDED / "tensorboard", "wandb": RECORDED, "mlflow": RECORDED / "mlruns"}
    arguments = (source.split("_")[0], path.get(source, mlflow_sqlite))
    bring(*arguments)
    before = shape()
    assert before
    assert all(" 0 points" in said for said in bring(*arguments))
    assert shape() == before


def test_what_a_writer_has_added_is_brought_in_the_next_time(bring, tmp_path):
    shutil.copytree(RECORDED / "mlruns", tmp_path / "mlruns")
    bring("mlflow", tmp_path / "mlruns")
    (file,) = (tmp_path / "mlruns").rglob("train/loss")
    with file.open("a") as more:
        more.write("1790000000000 -3.5 20\n")
    said = [text for text in bring("mlflow", tmp_path / "mlruns") if "parent" in text]
    assert " 1 points" in said[0]
    assert line(run_named("parent"), "train/loss").mean.tolist()[-1] == -3.5


@pytest.mark.parametrize(
    ("tracker", "content", "reason"),
    [
        ("tensorboard", b"not an event file at all", "is no event file"),
        ("wandb", b"neither is this", "is no file of W&B"),
        ("mlflow", b"nor this", "is no SQLite store of MLflow"),
    ],
)
def test_what_is_something_else_is_refused_by_its_name(bring, tmp_path, tracker, content, reason):
    name = {"tensorboard": "events.out.tfevents.1", "wandb": "x.wandb", "mlflow": "x.db"}[tracker]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CommandError, match=reason) as refused:
        bring(tracker, tmp_path if tracker == "tensorboard" else path)
    assert name in str(refused.value)


def test_a_damaged_wandb_file_says_where(bring, tmp_path):
    content = bytearray((RECORDED / "recorded.wandb").read_bytes())
    content[2000] ^= 0xFF
    path = tmp_path / "x.wandb"
    path.write_bytes(content)
    with pytest.raises(CommandError, match="is damaged at byte"):
        bring("wandb", path)


@pytest.mark.parametrize("tracker", ["tensorboard", "wandb", "mlflow"])
def test_an_empty_folder_is_refused(bring, tmp_path, tracker):
    with pytest.raises(CommandError, match=r"holds no|is no store"):
        bring(tracker, tmp_path)


def test_a_stranger_cannot_bring_runs_into_a_team(bring, tmp_path, django_user_model):
    django_user_model.objects.create(username="stranger")
    with pytest.raises(CommandError, match="not a member of team 'default'"):
        bring("wandb", RECORDED, "--user", "stranger", "--team", "default")
    assert not Run.objects.exists()


def test_a_named_project_takes_all_runs(bring):
    bring("wandb", RECORDED, "--project", "gathered")
    assert Run.objects.get().project.name == "gathered"
