"""Stores of the real clients, imported and compared with what the clients' own readers found in them.

peers/make.sh wrote the stores and peers/expected.json on 2026-11-30: 67 stores of five kinds of writer.
"""

from __future__ import annotations

import json
import math
import tarfile
from collections import Counter
from pathlib import Path

import pytest
from django.core.management import call_command

from jobs import series
from jobs.models import Run
from jobs.people import accounts
from jobs.series.codec import NO_STEP
from jobs.tracking.params import as_text

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
PEERS = Path(__file__).parent / "peers"
EXPECTED = json.loads((PEERS / "expected.json").read_text())
ALL = [(writer, store) for writer, by_store in EXPECTED.items() for store in by_store]


def of_kinds(*kinds):
    return [pair for pair in ALL if pair[0].split("-")[0] in kinds]


@pytest.fixture(scope="session")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("peers")
    with tarfile.open(PEERS / "stores.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "stores"


@pytest.fixture
def import_store(stores, capsys):
    accounts.ensure_first_team_and_user()

    def run_import(tracker, writer, store, below=""):
        for _ in range(2):  # the second time changes nothing
            call_command("import", tracker, str(stores / writer / store / below))
        lines = capsys.readouterr().out.splitlines()
        assert all(" known " in line and " 0 points" in line for line in lines[len(lines) // 2 :])
        return lines

    return run_import


def rows(points):
    """A multiset of (step, microseconds, value), in which all NaN are equal."""
    return Counter(
        (step, round(at * 1e6), "NaN" if math.isnan(value) else value) for step, at, value in points
    )


def stored(run):
    found = {}
    for one in series.raw(run.id):
        columns = zip(*(column.tolist() for column in one.columns), strict=True)
        points = [(None if step == NO_STEP else step, at / 1e6, value) for step, at, value in columns]
        found.setdefault(one.metric, Counter()).update(rows(points))
    return found


def visible(run, metric):
    (drawn,) = series.read([run.id], [metric], points=10_000)
    return Counter(zip(drawn.x.tolist(), ("NaN" if v != v else v for v in drawn.mean.tolist()), strict=True))


def params_of(run):
    return dict(run.params.values_list("key", "value"))


def test_the_stores_are_as_many_and_as_varied_as_promised():
    assert len(ALL) >= 40
    assert {writer.split("-")[0] for writer in EXPECTED} == {
        "wandb",
        "mlflow",
        "tensorboardX",
        "torch",
        "tensorboard",
    }


@pytest.mark.parametrize(("writer", "store"), of_kinds("tensorboardX", "torch", "tensorboard"))
def test_event_files_hold_what_the_event_accumulator_reads(import_store, writer, store):
    import_store("tensorboard", writer, store)
    expected = EXPECTED[writer][store]
    sessions = {name: name.rpartition("/")[0] for name in expected if name.rpartition("/")[2][:1].isdigit()}
    found = {run.name: run for run in Run.objects.all()}
    names = {store if name == "." else name for name in expected.keys() - sessions.keys()}
    assert found.keys() == names
    for name, folder in expected.items():
        run = found[store if name == "." else sessions.get(name, name)]
        points, shown = stored(run), {}
        for tag, some in folder["points"].items():
            assert points[tag] == rows(some), (name, tag)
            shown[tag] = folder["visible"][tag]
        if folder["visible"] != folder["points"]:  # tensorboardX 1.9 records no restart
            for tag, some in shown.items():
                assert visible(run, tag) == Counter((step, value) for step, _, value in some)
        params = params_of(run)
        for key, value in folder["params"].items():
            text = {"true": "1", "false": "0"}.get(params[key], params[key])
            assert text == value or float(text) == float(value)
    assert sum(len(folder["points"]) for folder in expected.values()) == sum(
        len(stored(run)) for run in found.values()
    )


STATES = {"FINISHED": "succeeded", "FAILED": "failed", "KILLED": "cancelled", "RUNNING": "running"}


@pytest.mark.parametrize(("writer", "store"), of_kinds("mlflow"))
def test_mlflow_stores_hold_what_its_client_reads(import_store, writer, store):
    import_store("mlflow", writer, store, "mlflow.db" if store.startswith("sqlite") else "mlruns")
    expected = EXPECTED[writer][store]
    assert Run.objects.count() == len(expected)
    for uuid, one in expected.items():
        run = Run.objects.get(tags__key="fourwalls.imported_from", tags__value=f"mlflow:{uuid}")
        assert (run.archived_at is not None) == one["is_deleted"]
        is_live = one["status"] == "RUNNING" and not one["is_deleted"]
        assert run.state == ("running" if is_live else STATES[one["status"]].replace("running", "cancelled"))
        assert run.project.name == one["experiment"]
        assert round(run.started_at.timestamp() * 1000) == one["start"]
        if one["end"]:
            assert round(run.ended_at.timestamp() * 1000) == one["end"]
        assert params_of(run) == one["params"]
        tags = dict(run.tags.values_list("key", "value"))
        for key, value in one["tags"].items():
            given = {"mlflow.note.content": run.note, "mlflow.runName": run.name}
            assert given.get(key, tags.get(key)) == value
        points = {key: rows((s, at / 1000, v) for s, at, v in some) for key, some in one["metrics"].items()}
        assert stored(run) == points
        if parent := one["tags"].get("mlflow.parentRunId"):
            assert run.parent.tags.filter(value=f"mlflow:{parent}").exists()


def leaves(value, path):
    """The numbers of a row under dotted names, without media."""
    if isinstance(value, dict):
        for key, below in () if "_type" in value else value.items():
            yield from leaves(below, f"{path}.{key}")
    elif isinstance(value, bool | int | float):
        yield path, float(value)


def wandb_points(files):
    found = {}
    for file in files:
        for row in file["rows"]:
            items = row["items"]
            media = [key.removesuffix("._type") for key in items if key.endswith("._type")]
            for key, value in items.items():
                if key.startswith("_") or any(key.startswith(f"{name}.") for name in media):
                    continue
                for name, number in leaves(value, key):
                    found.setdefault(name, []).append((items["_step"], items["_timestamp"], number))
    return {name: rows(points) for name, points in found.items()}


def config_leaves(value, path=""):
    if isinstance(value, dict) and value:
        for key, below in value.items():
            yield from config_leaves(below, f"{path}.{key}" if path else key)
    else:
        yield path, json.dumps(value) if isinstance(value, list) else as_text(value)


@pytest.mark.parametrize(("writer", "store"), of_kinds("wandb"))
def test_wandb_files_hold_what_its_decoder_reads(import_store, writer, store):
    import_store("wandb", writer, store)
    by_id = {}
    for _, file in sorted(EXPECTED[writer][store].items()):
        by_id.setdefault(file["id"], []).append(file)
    assert Run.objects.count() == len(by_id)
    for run_id, files in by_id.items():
        run = Run.objects.get(tags__key="fourwalls.imported_from", tags__value=f"wandb:peers:{run_id}")
        files.sort(key=lambda file: file["rows"][0]["items"]["_timestamp"])
        last = files[-1]
        assert run.state == ("succeeded" if last["exit"] == 0 else "failed")
        assert run.name == (last["name"] or run_id)
        assert run.note == last["notes"]
        tags = dict(run.tags.values_list("key", "value"))
        assert set(last["tags"]) <= tags.keys()
        assert tags.get("group", "") == last["group"] and tags.get("job_type", "") == last["job_type"]
        config = {k: v for file in files for k, v in file["config"].items() if k != "_wandb"}
        assert params_of(run) == (dict(config_leaves(config)) if config else {})
        expected, found = wandb_points(files), stored(run)
        assert {name: found[name] for name in expected} == expected
        summary = {name for name in found if name not in expected}
        assert summary == ({"best.min", "best_accuracy", "final.bleu"} if store == "late" else set())
        if store == "late":
            assert run.metrics.get(key="best_accuracy").last == 0.93
            assert tags["summary.verdict"] == "good"
            assert tags["x_axis:val/*"] == "epoch"
