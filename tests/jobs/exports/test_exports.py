"""Exported files: every stored value comes back exactly, in every format."""

from __future__ import annotations

import csv
import json
import math
import sys

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from pyarrow import parquet

from jobs import exports, series
from jobs.models import Team
from jobs.series import Point
from jobs.tracking import external_runs, params

pytestmark = pytest.mark.django_db
VALUES = [0.1, 1e-300, math.nan, math.inf, -math.inf, 3.0]


@pytest.fixture
def run():
    team = Team.objects.create(name="blue", slug="blue")
    owner = User.objects.create(username="owner")
    run = external_runs.create(
        team=team, owner=owner, name="=mine", origin="fourwalls", tags={"baseline": ""}
    )
    params.store(run, {"lr": "0.1", "formula": "=1+1"})
    points = [Point("loss", "run", step, step + 0.25, value) for step, value in enumerate(VALUES)]
    points.append(Point("power_w", "device:gpu0", None, 9.0, 300.0))
    series.append(run.id, 1, "s", 0, points)
    return run


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def read_jsonl(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def read_json(path):
    return json.loads(path.read_text())


def read_parquet(path):
    return parquet.read_table(path).to_pylist()


READERS = {"csv": read_csv, "json": read_json, "jsonl": read_jsonl, "parquet": read_parquet}


@pytest.mark.parametrize("form", exports.FORMATS)
def test_every_format_returns_every_point_exactly(run, form, tmp_path):
    call_command("export", str(tmp_path), "--format", form)
    rows = READERS[form](tmp_path / "points" / f"{run.id}.{form}")
    loss = [row for row in rows if row["metric"] == "loss"]
    assert [str(float(row["value"])) for row in loss] == [str(value) for value in VALUES]
    assert [int(row["time_us"]) for row in loss] == [int((step + 0.25) * 1e6) for step in range(6)]
    (power,) = [row for row in rows if row["metric"] == "power_w"]
    assert (power["source"], float(power["value"])) == ("device:gpu0", 300.0)
    assert power["step"] in (None, "")


@pytest.mark.parametrize("form", exports.FORMATS)
def test_runs_params_tags_and_metrics_are_exported(run, form, tmp_path):
    call_command("export", str(tmp_path), "--format", form)
    (about,) = READERS[form](tmp_path / f"runs.{form}")
    assert (about["run"], about["state"], about["team"], about["owner"]) == (
        run.id,
        "running",
        "blue",
        "owner",
    )
    assert {row["key"] for row in READERS[form](tmp_path / f"params.{form}")} == {"lr", "formula"}
    assert [row["key"] for row in READERS[form](tmp_path / f"tags.{form}")] == ["baseline"]
    (metric,) = READERS[form](tmp_path / f"metrics.{form}")
    assert (float(metric["min"]), float(metric["max"]), int(metric["count"])) == (1e-300, 3.0, 6)


def test_formulas_are_escaped(run, tmp_path):
    call_command("export", str(tmp_path))
    assert read_csv(tmp_path / "runs.csv")[0]["name"] == "'=mine"
    assert "'=1+1" in [row["value"] for row in read_csv(tmp_path / "params.csv")]


def test_several_blocks_make_one_parquet_file(run, tmp_path, monkeypatch):
    monkeypatch.setattr("jobs.exports.stored.BLOCK_ROWS", 2)
    call_command("export", str(tmp_path), "--format", "parquet")
    file = parquet.ParquetFile(tmp_path / "points" / f"{run.id}.parquet")
    assert (file.metadata.num_rows, file.metadata.num_row_groups) == (7, 4)
    assert file.read().column("value").to_pylist()[0] == 0.1


def test_without_pyarrow_the_error_names_the_package(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(CommandError, match=r"pip install 'fourwalls\[parquet\]'"):
        call_command("export", str(tmp_path), "--format", "parquet")


def test_only_the_selected_runs_are_written(run, tmp_path):
    other = external_runs.create(team=run.team, owner=run.owner, name="other", origin="fourwalls")
    call_command("export", str(tmp_path), "--run", other.id)
    assert [path.name for path in (tmp_path / "points").iterdir()] == [f"{other.id}.csv"]
    with pytest.raises(CommandError, match="nothing was written"):
        call_command("export", str(tmp_path), "--team", "red")
