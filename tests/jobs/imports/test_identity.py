"""Which run a file belongs to: generated stores with equal names, grown and moved between imports."""

from __future__ import annotations

import random
import shutil
from collections import Counter

import pytest

from jobs import series
from jobs.imports import points as imported_points
from jobs.models import Run, RunTag, Team
from jobs.people import accounts
from jobs.tracking import external_runs
from tests.jobs.imports.encode import (
    event_file,
    mlflow_run,
    mlflow_store,
    wandb_exit,
    wandb_file,
    wandb_row,
    wandb_run,
)

pytestmark = pytest.mark.slow

SEED = 20261130
NAME = "events.out.tfevents.1700000000.host"


def counted(points):
    """(step, at, value) as stored_points gives them; event files hold 32-bit floats that are exact here."""
    return Counter((step, at * 1_000_000, repr(float(value))) for step, at, value in points)


def draw_trainings(draw):
    """Folder -> points of one metric. Some share a beginning, times and lengths, as from a copied script."""
    folders = draw.sample(["train", "test", "lr/0.1", "lr/0.2", "a/b/c", "a/b", "x"], draw.randrange(2, 6))
    shared = [draw.randrange(100) for _ in range(30)]
    found = {}
    for folder in folders:
        common = draw.choice([0, 3, 30])
        values = shared[:common] + [draw.randrange(100) for _ in range(draw.randrange(30))]
        at = 1_700_000_000 + draw.choice([0, 0, 1000])
        found[folder] = [(step, at + step, value) for step, value in enumerate(values)]
    return found


def write_events(root, trainings, share=1.0):
    for folder, points in trainings.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        rows = [("loss", *point) for point in points[: int(len(points) * share)]]
        (root / folder / NAME).write_bytes(event_file(rows))


@pytest.mark.parametrize("number", range(25))
def test_each_folder_of_event_files_stays_one_run(attempt_import, stored_points, tmp_path, number):
    draw = random.Random(f"{SEED} folders {number}")
    trainings = draw_trainings(draw)
    root = tmp_path / "logs"
    for share in (draw.choice([0.0, 0.3, 0.7]), 1.0, 1.0):
        write_events(root, trainings, share)
        attempt_import("tensorboard", root)
    if draw.random() < 0.5:  # the folder moves, or its parent is imported
        moved = tmp_path / "elsewhere" / "logs"
        shutil.copytree(root, moved)
        attempt_import("tensorboard", draw.choice([moved, moved.parent]))
    assert Run.objects.count() == len(trainings)
    for folder, points in trainings.items():
        assert stored_points(Run.objects.get(name=folder)).get("loss", Counter()) == counted(points), folder


def test_an_event_file_that_was_empty_at_first_stays_one_run(attempt_import, stored_points, tmp_path):
    points = [(step, 1_700_000_000 + step, step) for step in range(10)]
    write_events(tmp_path, {"a": points})
    whole = (tmp_path / "a" / NAME).read_bytes()
    for size in (0, 5, 60, len(whole) // 2, len(whole)):
        (tmp_path / "a" / NAME).write_bytes(whole[:size])
        attempt_import("tensorboard", tmp_path)
    assert stored_points(Run.objects.get())["loss"] == counted(points)


def test_long_names_that_begin_alike_stay_apart(attempt_import, tmp_path):
    values = {"x" * 300 + end: 1.0 for end in "abc"}
    config = {"k" * 300 + end: end for end in "abc"}
    path = tmp_path / "x.wandb"
    path.write_bytes(wandb_file(wandb_run("x", config=config), wandb_row(values, 0), wandb_exit()))
    attempt_import("wandb", path)
    run = Run.objects.get()
    assert (run.metrics.count(), run.params.count()) == (3, 3)


def test_a_copied_folder_of_one_wandb_run_adds_nothing(attempt_import, stored_points, tmp_path):
    data = wandb_file(wandb_run("x"), *(wandb_row({"a": 1.0}, step) for step in range(9)), wandb_exit())
    for name in ("one", "two"):
        (tmp_path / f"{name}.wandb").write_bytes(data)
    attempt_import("wandb", tmp_path)
    assert sum(stored_points(Run.objects.get())["a"].values()) == 9


def test_two_trainings_with_one_folder_name_are_two_runs(attempt_import, stored_points, tmp_path):
    for place, value in (("one", 1), ("two", 50)):
        points = [(step, 1_700_000_000 + step, value + step) for step in range(10)]
        write_events(tmp_path / place, {"run": points})
        attempt_import("tensorboard", tmp_path / place / "run")
    assert Run.objects.count() == 2
    assert {sum(sum(c.values()) for c in stored_points(run).values()) for run in Run.objects.all()} == {10}


@pytest.mark.parametrize("number", range(25))
def test_the_files_of_one_wandb_id_are_one_run(attempt_import, stored_points, tmp_path, number):
    draw = random.Random(f"{SEED} resumed {number}")
    expected, paths, step, at = Counter(), [], 0, 1_700_000_000
    for part in range(draw.randrange(2, 5)):
        records = [wandb_run("same", at=at, config={"part": part})]
        step = draw.choice([step, 0, max(step - 4, 0)])
        for _ in range(draw.randrange(1, 20)):
            value = float(draw.randrange(4))
            records.append(wandb_row({"loss": value, "_timestamp": at}, step))
            expected[step, at * 1_000_000, repr(value)] += 1
            step, at = step + 1, at + 1
        path = tmp_path / f"offline-run-{part}" / "run-same.wandb"
        path.parent.mkdir()
        path.write_bytes(wandb_file(*records, wandb_exit()))
        paths.append(path)
        at += 100
    order = draw.choice(
        [[tmp_path], paths, paths[::-1], draw.sample(paths, len(paths)), [paths[0], tmp_path]]
    )
    for path in [*order, tmp_path, *order]:
        attempt_import("wandb", path)
    (run,) = Run.objects.all()
    assert stored_points(run)["loss"] == expected
    (drawn,) = series.read([run.id], ["loss"], points=10_000)
    assert len(set(drawn.x.tolist())) == len(drawn.x)  # no zigzag


def test_one_id_in_two_entities_is_two_runs(attempt_import, tmp_path):
    for entity in ("a", "b"):
        record = wandb_run("same", entity=entity)
        (tmp_path / f"{entity}.wandb").write_bytes(wandb_file(record, wandb_row({"x": 1}, 0)))
    attempt_import("wandb", tmp_path)
    attempt_import("wandb", tmp_path)
    assert Run.objects.count() == 2


def test_a_copied_run_of_mlflow_is_a_run_of_its_own(attempt_import, stored_points, tmp_path):
    home = mlflow_store(tmp_path / "mlruns")
    mlflow_run(home / "one", "same", {"loss": [(1_700_000_000_000, 1.0, 0)]})
    mlflow_run(home / "two", "same", {"loss": [(1_700_000_000_000, 2.0, 0)]})
    for _ in range(2):
        attempt_import("mlflow", tmp_path / "mlruns")
    assert Run.objects.count() == 2
    assert [sum(stored_points(run)["loss"].values()) for run in Run.objects.all()] == [1, 1]


# Databases with runs that earlier versions imported


def store_as_before(key, name, origin, streams):
    """streams: name -> points of attempt 1."""
    accounts.ensure_first_team_and_user()
    team = Team.objects.get()
    run = external_runs.create(
        team=team,
        owner=team.memberships.get().user,
        name=name,
        origin=origin,
        tags={"fourwalls.imported_from": key},
    )
    for stream, points in streams.items():
        series.append(run.id, 1, stream, 0, points)
        series.close(run.id, 1)
    return run


def points_before(points):
    return [series.Point("loss", "run", step, at, float(value)) for step, at, value in points]


def test_a_folder_imported_under_the_name_of_its_file_is_not_doubled(
    attempt_import, stored_points, tmp_path, db
):
    points = [(step, 1_700_000_000 + step, step * 2) for step in range(20)]
    run = store_as_before(f"tensorboard:{NAME}", "a/b", "tensorboard", {NAME: points_before(points[:15])})
    write_events(tmp_path, {"a/b": points})
    lines, error = attempt_import("tensorboard", tmp_path)
    assert not error and "known" in lines[0]
    assert stored_points(Run.objects.get())["loss"] == counted(points)
    assert RunTag.objects.get(run=run, key="fourwalls.imported_from").value.endswith(":a/b")


def test_a_run_that_mixes_folders_stays_and_is_named(attempt_import, stored_points, tmp_path, db):
    one = [(step, 1_700_000_000 + step, step) for step in range(10)]
    two = [(step, 1_700_000_000 + step, step + 50) for step in range(15)]
    mixed = store_as_before(
        f"tensorboard:{NAME}", "one", "tensorboard", {NAME: points_before([*one, *two[10:]])}
    )
    write_events(tmp_path, {"one": one, "two": two})
    lines, _ = attempt_import("tensorboard", tmp_path)
    assert all(mixed.id in line and "stays as it is" in line for line in lines)
    assert Run.objects.count() == 3
    assert stored_points(Run.objects.exclude(id=mixed.id).get(name="two"))["loss"] == counted(two)


def test_a_wandb_run_stored_without_steps_and_times_gets_them(attempt_import, stored_points, tmp_path, db):
    rows = [(step, 1_700_000_000 + step, 5 - step) for step in range(5)]
    run = store_as_before(
        "wandb:p:same",
        "same",
        "wandb",
        {"import": [series.Point("loss", "run", None, 0.0, float(value)) for _, _, value in rows]},
    )
    records = [wandb_row({"loss": float(value), "_timestamp": at}) for _, at, value in rows]
    (tmp_path / "run-same.wandb").write_bytes(wandb_file(wandb_run("same"), *records, wandb_exit()))
    attempt_import("wandb", tmp_path)
    assert stored_points(run)["loss"] == counted(rows)
    assert run.metrics.get(key="loss").count == 5


def test_two_imports_at_once_store_each_point_once(attempt_import, stored_points, tmp_path, monkeypatch):
    points = [(step % 30, 1_700_000_000 + step, step) for step in range(50)]
    write_events(tmp_path, {"a": points[:20]})
    attempt_import("tensorboard", tmp_path)
    write_events(tmp_path, {"a": points})
    lay_out, nested = imported_points.lay_out, []

    def interrupted(writers):
        if not nested:
            nested.append(True)
            attempt_import("tensorboard", tmp_path)
        return lay_out(writers)

    monkeypatch.setattr(imported_points, "lay_out", interrupted)
    attempt_import("tensorboard", tmp_path)
    assert nested and stored_points(Run.objects.get())["loss"] == counted(points)
