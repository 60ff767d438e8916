"""Records of W&B, events of TensorBoard and schemas of MLflow that real clients write rarely or no longer."""

from __future__ import annotations

import sqlite3
import struct

import numpy as np
import pytest

from jobs import series
from jobs.imports import ImportProblems, tensorboard, wandb
from jobs.models import Run
from tests.jobs.imports.encode import (
    event_file,
    field,
    message,
    mlflow_run,
    mlflow_store,
    scalar_event,
    tf_record,
    varint,
    wandb_exit,
    wandb_file,
    wandb_item,
    wandb_row,
    wandb_run,
    wandb_update,
)

CONFIG, OUTPUT, SUMMARY = 5, 4, 3
START = 1_700_000_000


@pytest.fixture
def read_wandb(tmp_path):
    def read(*records):
        path = tmp_path / "run-x.wandb"
        path.write_bytes(wandb_file(wandb_run("x", at=START), *records))
        problems = ImportProblems()
        (run,) = wandb.runs(path, problems)
        return run, problems

    return read


def points(run):
    """(metric, step, seconds since the start, value) of all points."""
    return sorted(
        (metric, step, at / 1e6 - START, value)
        for writer in run.writers
        for metric, found in writer.series.items()
        for step, at, value in zip(found.steps, found.times_us, found.values, strict=True)
    )


def test_config_after_init_is_read_and_removed_keys_are_gone(read_wandb):
    run, _ = read_wandb(
        wandb_update(CONFIG, {"lr": 0.1, "gone": 1, "model": {"depth": 4, "sizes": [1, 2]}, "none": None}),
        wandb_update(CONFIG, {"lr": 0.2, ("a", "b"): True, "_wandb": {"version": 1}}, remove=["gone"]),
    )
    assert run.params == {
        "lr": "0.2",
        "model.depth": "4",
        "model.sizes": "[1, 2]",
        "none": "None",
        "a.b": "true",
    }


def test_console_lines_and_unknown_records_are_counted(read_wandb):
    run, problems = read_wandb(
        field(OUTPUT, message((1, 1), (3, "epoch 1\n"))),
        field(13, message((1, 1), (3, "raw\n"))),
        field(8, message((5, "dataset"))),
        field(10, message((1, "alert"))),
        field(77, message((1, 1))),
        wandb_row({"loss": 1.0}, 0),
    )
    assert run.left_out == {"console lines": 2, "artefacts": 1, "alerts": 1, "records of kind 77": 1}
    assert not problems.count and not run.params


def test_summary_values_without_history_become_points_and_texts_tags(read_wandb):
    run, _ = read_wandb(
        wandb_row({"loss": 1.0, "_timestamp": START + 9}, 3),
        wandb_update(SUMMARY, {"loss": 1.0, "best": 0.93, "deep": {"bleu": 2}, "where": "a/b", "_step": 3}),
        wandb_update(SUMMARY, {"gone": 5}, remove=[]),
        wandb_update(SUMMARY, {}, remove=["gone"]),
    )
    assert points(run) == [("best", 3, 9, 0.93), ("deep.bleu", 3, 9, 2.0), ("loss", 3, 9, 1.0)]
    assert run.tags["summary.where"] == "a/b"


def test_a_summary_that_differs_from_the_history_does_not_join_it(read_wandb):
    run, _ = read_wandb(wandb_row({"loss": 1.0}, 0), wandb_update(SUMMARY, {"loss": 0.5}))
    assert points(run) == [("loss", 0, 0, 1.0), ("summary/loss", 0, 0, 0.5)]


def test_group_job_type_sweep_and_own_x_axes_are_tags(tmp_path):
    path = tmp_path / "x.wandb"
    head = wandb_run("x", group="g", job_type="eval", sweep="s1", entity="team")
    axes = [
        field(12, message((1, "epoch"))),
        field(12, message((2, "val/*"), (4, "epoch"))),
        field(12, message((1, "acc"), (5, 1))),
        field(12, message((1, "loss"), (4, "_step"))),
    ]
    path.write_bytes(wandb_file(head, *axes))
    (run,) = wandb.runs(path, ImportProblems())
    assert run.tags == {
        "group": "g",
        "job_type": "eval",
        "sweep": "s1",
        "entity": "team",
        "x_axis:val/*": "epoch",
        "x_axis:acc": "epoch",
    }
    assert sum("x axis" in name for name in run.left_out) == 2


def test_rows_without_step_are_numbered_and_rows_without_time_are_dated(read_wandb):
    run, _ = read_wandb(
        wandb_row({"a": 1.0}),
        wandb_row({"a": 2.0, "_runtime": 7.5}),
        wandb_row({"a": 3.0, "_step": 40, "_timestamp": START + 20}),
        wandb_row({"a": 4.0}),
    )
    assert points(run) == [("a", 0, 0, 1.0), ("a", 1, 7.5, 2.0), ("a", 40, 20, 3.0), ("a", 41, 20, 4.0)]


@pytest.mark.parametrize("step", [{"a": 1}, "5", [1], True, 2.5, float("inf")])
def test_a_row_whose_step_is_no_number_is_kept_and_named(read_wandb, step):
    run, problems = read_wandb(wandb_row({"a": 1.0}, 6), wandb_row({"a": 2.0, "_step": step}))
    assert points(run) == [("a", 6, 0, 1.0), ("a", 7, 0, 2.0)]
    assert problems.count == 1 and "_step" in str(problems.listed[0])


def test_typed_values_of_newer_clients_are_read(read_wandb):
    def zigzag(number):
        return (number << 1) ^ (number >> 63)

    items = [
        wandb_item("on", 1, number=4),
        wandb_item("minus", zigzag(-7), number=5),
        wandb_item("plus", zigzag(300), number=5),
        wandb_item("third", 0.25, number=6),
        wandb_item("word", "text", number=7),
        wandb_item("deep", '{"x": 3}', number=8),
        message((1, "nothing"), (3, 0)),
    ]
    run, _ = read_wandb(field(2, b"".join(field(1, item) for item in items) + field(2, message((1, 2)))))
    assert {(metric, value) for metric, _, _, value in points(run)} == {
        ("on", 1.0),
        ("minus", -7.0),
        ("plus", 300.0),
        ("third", 0.25),
        ("deep.x", 3.0),
    }
    assert run.left_out == {"word (no scalar)": 1, "nothing (no scalar)": 1}


def test_the_parts_of_media_are_no_metrics(read_wandb):
    nested = {("img", "_type"): "image-file", ("img", "width"): 640, ("img", "size"): 3, "loss": 1.0}
    whole = {
        "hist": {"_type": "histogram", "values": [1]},
        "eval": {"acc": 0.5, "img": {"_type": "x", "width": 1}},
    }
    run, _ = read_wandb(wandb_row(nested, 0), wandb_row(whole, 1))
    assert {metric for metric, *_ in points(run)} == {"loss", "eval.acc"}
    assert sum(run.left_out.values()) == 3


@pytest.mark.parametrize(
    ("code", "state"), [(0, "succeeded"), (1, "failed"), (255, "failed"), (-9, "failed")]
)
def test_the_exit_code_is_the_state(read_wandb, code, state):
    run, _ = read_wandb(wandb_exit(code))
    assert (run.state, run.unknown_state) == (state, "")


def test_a_file_without_exit_record_has_an_unknown_state(attempt_import, tmp_path):
    (tmp_path / "x.wandb").write_bytes(wandb_file(wandb_run("x"), wandb_row({"a": 1.0}, 0)))
    lines, error = attempt_import("wandb", tmp_path)
    assert not error and "state unknown" in lines[0]
    run = Run.objects.get()
    assert run.state == "failed" and "exit record" in run.tags.get(key="fourwalls.state_unknown").value
    (tmp_path / "x.wandb").write_bytes(wandb_file(wandb_run("x"), wandb_row({"a": 1.0}, 0), wandb_exit()))
    attempt_import("wandb", tmp_path)
    run.refresh_from_db()
    assert run.state == "succeeded" and not run.tags.filter(key="fourwalls.state_unknown").exists()


def test_what_a_run_gains_after_the_first_import_is_stored(attempt_import, tmp_path):
    head = [wandb_run("x", config={"lr": 1}), wandb_row({"a": 1.0}, 0)]
    (tmp_path / "x.wandb").write_bytes(wandb_file(*head))
    attempt_import("wandb", tmp_path)
    more = [wandb_update(CONFIG, {"late": 2, "lr": 3}), wandb_exit()]
    (tmp_path / "x.wandb").write_bytes(wandb_file(*head, *more))
    attempt_import("wandb", tmp_path)
    run = Run.objects.get()
    assert dict(run.params.values_list("key", "number")) == {"lr": 3, "late": 2}


# TensorBoard

TENSORS = [
    (1, 5, struct.pack("<f", 1.5), 1.5),
    (2, 6, struct.pack("<d", 2.5), 2.5),
    (3, 7, varint(7), 7.0),
    (3, 7, varint(-7), -7.0),
    (9, 10, varint(2**40), 2.0**40),
    (10, 11, varint(1), 1.0),
    (19, 13, varint(int(np.float16(0.5).view(np.uint16))), 0.5),
    (23, 17, varint(2**63), 2.0**63),
]


@pytest.mark.parametrize(("dtype", "number", "data", "value"), TENSORS)
def test_a_scalar_tensor_of_any_type_is_a_point(tmp_path, dtype, number, data, value):
    tensor = message((1, dtype), (2, b""), (number, data))
    summary = field(1, message((1, "loss"), (8, tensor)))
    event = message((1, 5.0), (2, 3), (5, summary))
    (tmp_path / "events.out.tfevents.1").write_bytes(tf_record(event))
    (run,) = tensorboard.runs(tmp_path, ImportProblems())
    assert points(run) == [("loss", 3, 5.0 - START, value)]


def test_an_event_without_a_time_gets_the_time_before_it(tmp_path):
    event = message((2, 1), (5, field(1, message((1, "a")) + varint(2 << 3 | 5) + struct.pack("<f", 1.0))))
    data = event_file([("a", 0, START + 5, 0.0)]) + tf_record(event)
    (tmp_path / "events.out.tfevents.1").write_bytes(data)
    (run,) = tensorboard.runs(tmp_path, ImportProblems())
    assert points(run) == [("a", 0, 5, 0.0), ("a", 1, 5, 1.0)]


def test_several_sessions_below_a_folder_are_runs_of_their_own(tmp_path):
    for name in ("run", "run/1700000000.1", "run/1700000001.2"):
        folder = tmp_path / name
        folder.mkdir()
        value = message((1, message((1, "lr"), (2, message((2, 0.5))))))
        plugin = message((1, message((1, "hparams"), (2, message((3, value))))))
        summary = field(1, message((1, "_hparams_/session_start_info"), (9, plugin)))
        event = message((1, 5.0), (5, summary)) if "/" in name else scalar_event("loss", 1, 5, 1.0)
        (folder / "events.out.tfevents.1").write_bytes(tf_record(event))
    found = {run.name: run.params for run in tensorboard.runs(tmp_path, ImportProblems())}
    assert found == {"run": {}, "run/1700000000.1": {"lr": "0.5"}, "run/1700000001.2": {"lr": "0.5"}}


# MLflow

OLDEST = """
CREATE TABLE experiments (experiment_id INTEGER, name TEXT);
CREATE TABLE runs (run_uuid TEXT, name TEXT, status TEXT, start_time INTEGER, end_time INTEGER, experiment_id INTEGER);
CREATE TABLE metrics (key TEXT, value FLOAT, timestamp INTEGER, run_uuid TEXT);
CREATE TABLE params (key TEXT, value TEXT, run_uuid TEXT);
CREATE TABLE tags (key TEXT, value TEXT, run_uuid TEXT);
INSERT INTO experiments VALUES (0, 'Default');
INSERT INTO runs VALUES ('r1', 'old', 'FINISHED', 1700000000000, 1700000009000, 0);
INSERT INTO runs VALUES ('r2', 'odd', 'PAUSED', 'x', NULL, 9);
INSERT INTO metrics VALUES ('loss', 1.0, 1700000001000, 'r1'), ('loss', 'x', 1700000002000, 'r1');
INSERT INTO metrics VALUES ('loss', 2.0, 1700000003000, 'r1'), ('loss', 3.0, NULL, 'r2');
INSERT INTO params VALUES ('lr', '0.1', 'r1'), ('none', NULL, 'r2');
"""


def test_a_database_of_the_oldest_schema_is_read_row_by_row(attempt_import, stored_points, tmp_path):
    path = tmp_path / "with ?#% signs.db"
    with sqlite3.connect(path) as database:
        database.executescript(OLDEST)
    lines, error = attempt_import("mlflow", path)
    assert len(lines) == 2 and error.count("is not a metric") == 2
    old, odd = Run.objects.get(name="old"), Run.objects.get(name="odd")
    assert sum(stored_points(old)["loss"].values()) == 2 and old.state == "succeeded"
    assert odd.state == "failed" and "PAUSED" in odd.tags.get(key="fourwalls.state_unknown").value
    assert old.params.get(key="lr").number == 0.1


def test_a_step_made_again_in_mlruns_supersedes(attempt_import, tmp_path):
    home = mlflow_store(tmp_path / "mlruns")
    steps = [*range(16), *range(10, 30)]
    lines = [(1_700_000_000_000 + 1000 * n, n / 10, step) for n, step in enumerate(steps)]
    mlflow_run(home / "a", "a", {"loss": lines, "eval/acc": lines[::5], "other": lines[:12]})
    attempt_import("mlflow", tmp_path / "mlruns")
    (loss,) = series.read([Run.objects.get().id], ["loss"], points=1000)
    assert loss.x.tolist() == list(range(30)) and (loss.borders, loss.superseded) == ([10], 6)
    (other,) = series.read([Run.objects.get().id], ["other"], points=1000)
    assert (other.count, other.superseded) == (12, 0)


def test_steps_and_times_beyond_64_bits_are_named_and_the_rest_is_stored(attempt_import, tmp_path):
    home = mlflow_store(tmp_path / "mlruns")
    lines = [(1_700_000_000_000, 1.0, 0), (1_700_000_000_000, 2.0, 2**63), (10**30, 3.0, 1), (1, "nan", -5)]
    mlflow_run(home / "a", "a", {"loss": lines})
    _, error = attempt_import("mlflow", tmp_path / "mlruns")
    assert "a step is a signed 64-bit integer" in error and "1970 to 9999" in error
    assert Run.objects.get().metrics.get(key="loss").count == 2


@pytest.mark.parametrize(("stage", "in_trash"), [("deleted", False), ("active", True)])
def test_deleted_runs_are_archived_and_not_running(attempt_import, tmp_path, stage, in_trash):
    root = tmp_path / "mlruns"
    home = mlflow_store(root)
    if in_trash:
        home = home.rename(root / ".trash") and mlflow_store(root / ".trash")
    mlflow_run(home / "a", "a", {"loss": [(1, 1.0, 0)]}, status=1, end_time=None, lifecycle_stage=stage)
    attempt_import("mlflow", root)
    run = Run.objects.get()
    assert run.archived_at is not None and run.state == "cancelled"


@pytest.mark.parametrize("end", ["\n", ""])
def test_the_last_line_of_a_metric_needs_no_line_end_unless_it_is_cut(attempt_import, tmp_path, end):
    home = mlflow_store(tmp_path / "mlruns")
    mlflow_run(home / "a", "a")
    (home / "a" / "metrics" / "whole").write_text("1700000000000 1.0 0\n1700000001000 2.0 1" + end)
    (home / "a" / "metrics" / "cut").write_text("1700000000000 1.0 0\n1700000001000 2.0")
    _, error = attempt_import("mlflow", tmp_path / "mlruns")
    run = Run.objects.get()
    assert run.metrics.get(key="whole").count == 2 and run.metrics.get(key="cut").count == 1
    assert error.count("is not an MLflow metric") == 1 and "cut, line 2:" in error


def test_names_cannot_control_the_terminal(attempt_import, tmp_path):
    head = wandb_run("x", name="\x1b[2Jred\u202e\n2 x", config={"a": 1})
    (tmp_path / "x.wandb").write_bytes(wandb_file(head, wandb_row({"\x1b[31m": "text"}, 0)))
    lines, _ = attempt_import("wandb", tmp_path)
    assert len(lines) == 1 and lines[0].isprintable()
