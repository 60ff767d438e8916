"""Damaged and hostile files: 2,500 generated inputs within a budget, and known bombs."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import struct
import time
import tracemalloc
from pathlib import Path

import pytest

from jobs.imports import ImportProblems, ImportRefused, mlflow, tensorboard, wandb
from jobs.imports.plain_yaml import PlainYamlError, load_plain_yaml
from jobs.imports.tfrecord import CRC32C, crc32c
from jobs.models import Run
from tests.jobs.imports.encode import (
    event_file,
    field,
    message,
    mlflow_run,
    mlflow_store,
    tf_record,
    wandb_exit,
    wandb_file,
    wandb_row,
    wandb_run,
)

pytestmark = pytest.mark.slow

SEED = 20261130
INPUTS_A_KIND = 1000
CPU_S, MEMORY_BYTES = 1.0, 100 * 1024 * 1024
RECORDED = Path(__file__).parent / "recorded"
READERS = {"tensorboard": tensorboard.runs, "wandb": wandb.runs, "mlflow": mlflow.runs}


def read_all(tracker, path):
    """Read within the budget; returns the number of points and problems."""
    problems = ImportProblems()
    started = time.process_time()
    points = 0
    try:
        for run in READERS[tracker](path, problems):
            points += sum(len(series) for writer in run.writers for series in writer.series.values())
            json.dumps([run.name, run.params, run.tags, run.key])
    except ImportRefused as error:
        problems.add(str(error), "")
    assert time.process_time() - started < CPU_S
    return points, problems


def mutate(draw, data):
    data = bytearray(data)
    for _ in range(draw.choice([1, 1, 2, 5])):
        place = draw.randrange(len(data) + 1)
        match draw.randrange(7):
            case 0 if data:
                data[place % len(data)] ^= 1 << draw.randrange(8)
            case 1:
                del data[place:]
            case 2:
                data[place:place] = bytes(draw.randrange(1, 5000))
            case 3:
                data[place:place] = draw.randbytes(draw.randrange(1, 200))
            case 4:
                data[place : place + draw.randrange(1, 300)] = b""
            case 5:
                data += data[: draw.randrange(1, 4000)]
            case _:
                numbers = [
                    b"\xff" * 8,
                    struct.pack("<q", -(2**63)),
                    b"\x80" * 12,
                    b"1e999",
                    b"nan",
                    b"\n\n",
                    b"*a &a",
                ]
                data[place:place] = draw.choice(numbers)
    return bytes(data)


def remake(draw, kind):
    """A sound frame around a mutated body, so that the checksums do not catch it."""
    if kind == "tensorboard":
        body = message((1, 1.0), (2, draw.randrange(2**64)), (5, field(1, message((1, "loss"), (2, 1.0)))))
        return tf_record(message((1, 1.0))) + b"".join(tf_record(mutate(draw, body)) for _ in range(5))
    bodies = [
        wandb_run("x"),
        wandb_row({"a": {"b": [1]}, "_step": 1}),
        wandb_exit(),
        field(12, message((1, "m"))),
    ]
    return wandb_file(wandb_run("x"), *(mutate(draw, body) for body in bodies * 2))


@pytest.mark.parametrize("tracker", ["tensorboard", "wandb"])
def test_mutated_files_are_read_within_the_budget(tmp_path, tracker):
    sources = {
        "tensorboard": next((RECORDED / "tensorboard" / "a").iterdir()).read_bytes(),
        "wandb": (RECORDED / "recorded.wandb").read_bytes(),
    }
    path = tmp_path / {"tensorboard": "events.out.tfevents.1700000000.h", "wandb": "run-x.wandb"}[tracker]
    found = 0
    for number in range(INPUTS_A_KIND):
        draw = random.Random(f"{SEED} {tracker} {number}")
        path.write_bytes(remake(draw, tracker) if number % 2 else mutate(draw, sources[tracker]))
        found += read_all(tracker, path)[0]
    assert found > INPUTS_A_KIND  # much of each file is still read


def test_mutated_stores_of_mlflow_are_read_within_the_budget(tmp_path):
    root = tmp_path / "mlruns"
    shutil.copytree(RECORDED / "mlruns", root)
    files = sorted(path for path in root.rglob("*") if path.is_file())
    whole = {path: path.read_bytes() for path in files}
    database = tmp_path / "mlflow.db"
    with sqlite3.connect(database) as connection:
        connection.executescript((RECORDED / "mlflow.sql").read_text())
    sound, found = database.read_bytes(), 0
    for number in range(INPUTS_A_KIND // 2):
        draw = random.Random(f"{SEED} mlflow {number}")
        if number % 4 == 0:
            database.write_bytes(mutate(draw, sound))
            read_all("mlflow", database)
            continue
        changed = draw.sample(files, 3)
        for path in changed:
            path.write_bytes(mutate(draw, whole[path]))
        found += read_all("mlflow", root)[0]
        for path in changed:
            path.write_bytes(whole[path])
    assert found > INPUTS_A_KIND // 2


def deep(count):
    return "[" * count + "]" * count


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(12)
)
WANDB_BOMBS = {
    "deep JSON": wandb_row({}) + field(2, field(1, message((1, "x"), (16, deep(100_000))))),
    "many keys": wandb_row({f"m{n}": n for n in range(10_000)}),
    "a long number": field(2, field(1, message((1, "x"), (16, "9" * 1_000_000)))),
    "a nested dict": wandb_row({"x": json.loads('{"a":' * 400 + "1" + "}" * 400)}),
    "a huge step": wandb_row({"x": 1.0}, 2**63),
    "a huge step in the row": wandb_row({"x": 1.0, "_step": 10**400}),
    "a step that is an object": wandb_row({"x": 1.0, "_step": {"a": 1}}),
    "no number": wandb_row({"x": 1.0, "_step": float("nan"), "_timestamp": 1e300}),
    "empty fields": field(2, b"\x0a\x00" * 60_000),
}


@pytest.mark.parametrize("name", WANDB_BOMBS)
def test_a_hostile_record_costs_little_and_the_next_one_is_read(tmp_path, name):
    path = tmp_path / "run-x.wandb"
    path.write_bytes(wandb_file(wandb_run("x"), WANDB_BOMBS[name], wandb_row({"good": 1.0}, 5), wandb_exit()))
    assert read_all("wandb", path)[0] >= 1
    tracemalloc.start()
    (run,) = wandb.runs(path, ImportProblems())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MEMORY_BYTES
    assert any("good" in writer.series for writer in run.writers)


@pytest.mark.parametrize(
    "text",
    [BOMB, deep(20_000), "a: " + "9" * 5000, "a: [" * 500, "!!python/object:os.system x", "a: *missing"],
)
def test_a_yaml_bomb_is_refused_at_once(tmp_path, text):
    started = time.process_time()
    try:
        load_plain_yaml(text)
    except PlainYamlError as error:
        assert str(error)
    assert time.process_time() - started < CPU_S
    home = mlflow_store(tmp_path / "mlruns")
    mlflow_run(home / "a", "a", {"loss": [(1, 1.0, 0)]})
    mlflow_run(home / "b", "b", {"loss": [(1, 1.0, 0)]})
    (home / "a" / "meta.yaml").write_text(text)
    points, problems = read_all("mlflow", tmp_path / "mlruns")
    assert points == 2 and (problems.count == 1 or "9" in text)


def test_a_database_whose_tables_compute_without_end_is_refused(tmp_path):
    path = tmp_path / "mlflow.db"
    with sqlite3.connect(path) as database:
        database.executescript(
            "CREATE TABLE experiments (experiment_id INTEGER, name TEXT);"
            "CREATE VIEW runs AS WITH RECURSIVE n(run_uuid) AS (SELECT 1 UNION ALL SELECT run_uuid + 1 FROM n) "
            "SELECT run_uuid, 1 AS experiment_id FROM n;"
        )
    _, problems = read_all("mlflow", path)
    assert "no table of runs" in str(problems.listed[0])


def test_links_out_of_a_store_are_not_followed_and_are_named(attempt_import, tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("-----BEGIN PRIVATE KEY-----")
    mlflow_run(secret / "run", "outside", {"loss": [(1, 1.0, 0)]})
    home = mlflow_store(tmp_path / "mlruns")
    mlflow_run(home / "a", "a", {"loss": [(1_700_000_000_000, 1.0, 0)]}, {"lr": "1"})
    links = [home / "a" / "params" / "key", home / "a" / "tags" / "more", home / "b"]
    for link, target in zip(links, [secret / "key", secret, secret / "run"], strict=True):
        os.symlink(target, link)
    os.symlink(home, home / "loop")
    os.symlink("/dev/zero", home / "a" / "metrics" / "zero")
    os.mkfifo(home / "a" / "metrics" / "pipe")
    lines, error = attempt_import("mlflow", tmp_path / "mlruns")
    assert len(lines) == Run.objects.count() == 1
    assert dict(Run.objects.get().params.values_list("key", "value")) == {"lr": "1"}
    assert all(f"{link} is a link out of the store" in error for link in links)
    logs = tmp_path / "logs"
    logs.mkdir()
    (secret / "events.out.tfevents.1").write_bytes(event_file([("loss", 1, 1.0, 1.0)]))
    (logs / "events.out.tfevents.2").write_bytes(event_file([("loss", 1, 1.0, 1.0)]))
    os.symlink(secret, logs / "run")
    os.symlink(secret / "events.out.tfevents.1", logs / "events.out.tfevents.1")
    _, error = attempt_import("tensorboard", logs)
    assert error.count("is a link out of the store") == 2 and Run.objects.count() == 2


def test_a_bad_item_stops_nothing_and_a_repeat_goes_on(attempt_import, tmp_path):
    rows = [wandb_row({"loss": float(n)}, n) for n in range(5)]
    good = wandb_file(wandb_run("good"), *rows, wandb_exit())
    files = {
        "1-empty": b"",
        "2-zeros": wandb_file(wandb_run("zeros"), *rows) + bytes(100_000),
        "3-other": b"not a log",
        "4-step": wandb_file(
            wandb_run("step"), *rows, wandb_row({"loss": 1.0}, 2**63 - 1), wandb_row({"loss": 2.0})
        ),
        "5-good": good,
    }
    for name, data in files.items():
        (tmp_path / f"{name}.wandb").write_bytes(data)
    for _ in range(2):
        lines, error = attempt_import("wandb", tmp_path)
        assert len(lines) == 3 and Run.objects.count() == 3
        assert all(f"{name}.wandb" in error for name in ("1-empty", "2-zeros", "3-other", "4-step"))
        assert "5-good" not in error
    (tmp_path / "1-empty.wandb").write_bytes(wandb_file(wandb_run("late"), *rows))
    lines, _ = attempt_import("wandb", tmp_path)
    assert sum(" new " in line for line in lines) == 1 and Run.objects.count() == 4


def test_a_text_that_no_column_holds_is_cut_and_the_run_is_stored(attempt_import, tmp_path):
    values = {"a\0b": "x\0y", "\ud800half": "\udfff", "long": "x" * 10_000, "k" * 400: 1, "": 2}
    record = wandb_run("odd", config=values, name="na\0me", notes="n\0")
    path = tmp_path / "x.wandb"
    path.write_bytes(wandb_file(record, wandb_row({"m\0": 1.0, "": 2.0, "n" * 400: 3.0}, 0), wandb_exit()))
    lines, error = attempt_import("wandb", path)
    assert not error and "long parameters" in lines[0]
    run = Run.objects.get()
    assert run.name == "name" and len(run.params.get(key="long").value) == 6_000
    assert run.metrics.count() == 3


def test_checksums_of_any_length_are_those_of_the_table():
    def slow(data):
        crc = 0xFFFFFFFF
        for byte in data:
            crc = CRC32C[(crc ^ byte) & 0xFF] ^ (crc >> 8)
        return crc ^ 0xFFFFFFFF

    draw = random.Random(SEED)
    assert crc32c(b"123456789") == 0xE3069283
    for size in [0, 1, 1000, 32_767, 32_768, 32_769, 70_001, *(draw.randrange(100_000) for _ in range(10))]:
        data = draw.randbytes(size)
        assert crc32c(data) == slow(data)


def test_a_flipped_bit_in_an_event_file_costs_one_record(tmp_path):
    data = bytearray(event_file([("loss", step, 1.7e9 + step, float(step)) for step in range(50)]))
    data[len(data) // 2] ^= 4
    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes(data)
    points, problems = read_all("tensorboard", path)
    assert (points, problems.count) == (49, 1)
    assert "checksum" in str(problems.listed[0]) or "damaged" in str(problems.listed[0])
