"""The same points through every way into the series: each accepts and refuses the same ones."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from engine.telemetry import point_limits
from engine.telemetry.point_limits import END_S, FIRST_STEP, LAST_STEP, NO_STEP
from jobs import imports, series
from jobs.attempts import ingest
from jobs.imports.foreign import as_value
from jobs.models import StoredSeries
from jobs.people.api_tokens import create_token
from jobs.series.codec import non_finite_name
from jobs.tracking import external_runs

pytestmark = pytest.mark.slow

NUM_POINTS = 500
NAMES = (
    "loss", "train/loss", "a//b", "../up", "100%", "größe", "a b", "a" * 249, "ü" * 250, "/" * 250,
    "", " ", "\t\n", "\u2003", "a" * 251, "x" * 5_000, "nul\0", "\ud800", "half\udfff",
)  # fmt: skip
STEPS = (
    0,
    1,
    -1,
    2**31,
    -(2**40),
    2**62 + 1,
    LAST_STEP,
    FIRST_STEP,
    LAST_STEP + 1,
    NO_STEP,
    2**64,
    -(10**30),
)
TIMES = (0.0, 1.5, 1.7e9, END_S - 1, END_S - 0.5, END_S, END_S + 1, -1.0, -0.25, 1e13, 1e300)
VALUES = (0.0, -0.0, 5e-324, 1.7976931348623157e308, math.nan, math.inf, -math.inf, 7, 2**63, 10**400)
SOURCES = ("run", "rank0", "rank999999", "device:a-0", "device:" + "x" * 80, "host:box.local",
           "", "runs", "rank", "rank1234567", "rank١", "device:", "device:" + "x" * 81, "host:a b", "gpu")  # fmt: skip

Drawn = tuple[str, str, int, float, Any]


def draw_points(of_run: bool) -> list[Drawn]:
    """Most fields of a point are valid, so that each bad one decides by itself."""
    draw = random.Random(20261130)

    def one(values: tuple[Any, ...], good: Any, share: float = 0.35) -> Any:
        return draw.choice(values) if draw.random() < share else good

    return [
        (
            one(NAMES, f"metric {number}"),
            "run" if of_run else one(SOURCES, "run"),
            one(STEPS, number),
            one(TIMES, 1e9 + number),
            one(VALUES, number / 7),
        )
        for number in range(NUM_POINTS)
    ]


def in_json(value: Any) -> Any:
    return non_finite_name(value) if isinstance(value, float) and not math.isfinite(value) else value


@pytest.fixture
def bearer(owner, team) -> Client:
    return Client(headers={"Authorization": f"Bearer {create_token(owner, team, 'test')}"})


@pytest.fixture
def logged(owner, team):
    return external_runs.create(team=team, owner=owner, name="logged", origin="test")


def through_the_api(point: Drawn, number: int, bearer: Client, run: Any) -> bool:
    metric, source, step, at, value = point
    one = {"metric": metric, "source": source, "values": [in_json(value)], "steps": [step], "times": [at]}
    body = {"stream": "w", "batches": [{"seq": number, "series": [one]}]}
    answer = bearer.post(f"/api/v1/runs/{run.id}/points", json.dumps(body), content_type="application/json")
    assert answer.status_code in (200, 422), answer.content
    return answer.status_code == 200


def through_mlflow(point: Drawn, bearer: Client, run: Any) -> bool:
    metric, _, step, at, value = point
    one = {"key": metric, "value": in_json(value), "timestamp": int(at * 1000), "step": step}
    body = {"run_id": run.id, "metrics": [one]}
    answer = bearer.post("/api/2.0/mlflow/runs/log-batch", json.dumps(body), content_type="application/json")
    assert answer.status_code in (200, 400), answer.content
    return answer.status_code == 200


def through_a_spool_line(point: Drawn) -> bool:
    metric, source, step, at, value = point
    line = {"k": "validation", "at": at, "source": source, "step": step, "metrics": {metric: in_json(value)}}
    text = json.dumps(line).encode()
    chunk = ingest._parse_chunk("rank0.jsonl", 0, text + b"\n", ingest.SpoolUpdate())
    return bool(chunk.points)


def through_an_import(point: Drawn) -> bool:
    metric, _, step, at, value = point
    writer = imports.ForeignWriter("w")
    if (number := as_value(value)) is not None:
        writer.add(metric, step, at, number)
    return bool(writer.series)


def test_every_door_makes_the_same_decision(bearer, logged):
    """MLflow's API and importers know one source, 'run'; the other two doors get every source as well. Importers clean
    names instead of refusing them, because nobody can log the run again."""
    counts = {True: 0, False: 0}
    for number, point in enumerate(draw_points(of_run=True)):
        rule = not point_limits.point_error(*point)
        assert through_an_import(point) == (not point_limits.point_error("loss", *point[1:])), ascii(point)[
            :200
        ]
        found = {
            "api": through_the_api(point, number, bearer, logged),
            "mlflow": through_mlflow(point, bearer, logged),
            "spool": through_a_spool_line(point),
        }
        assert set(found.values()) == {rule}, (ascii(point)[:200], found)
        counts[rule] += 1
    assert min(counts.values()) > NUM_POINTS / 5


def test_every_source_is_decided_alike(bearer, logged):
    for number, point in enumerate(draw_points(of_run=False)):
        rule = not point_limits.point_error(*point)
        found = (through_the_api(point, number, bearer, logged), through_a_spool_line(point))
        assert found == (rule, rule), ascii(point)[:200]


def test_what_was_taken_can_be_read_back(bearer, logged):
    """The widest valid points: no column refuses what the rule allows."""
    points = [
        ("ü" * 250, "device:" + "x" * 80, step, at, 1.0) for step, at in zip(STEPS, TIMES, strict=False)
    ]
    kept = [point for point in points if not point_limits.point_error(*point)]
    for number, point in enumerate(kept):
        assert through_the_api(point, number, bearer, logged)
    series.close(logged.id, 1)
    assert StoredSeries.objects.get().count == len(kept)
    assert [name.source for name in series.names(logged.id)] == ["device:" + "x" * 80]


def test_the_limits_are_written_in_one_module_and_its_copy_of_the_client():
    root = Path(__file__).resolve().parents[2]
    sources = [
        path for room in ("engine", "jobs", "dashboard", "fourwalls") for path in (root / room).rglob("*.py")
    ]
    for text in ("253_402_300", "device:[", "2**63)"):
        found = {str(path.relative_to(root)) for path in sources if text in path.read_text()}
        assert found <= {"engine/telemetry/point_limits.py", "fourwalls/limits.py"}, text


def test_no_column_is_narrower_than_the_rule():
    metric, source = (StoredSeries._meta.get_field(name).max_length for name in ("metric", "source"))
    assert metric == point_limits.METRIC_CHARS
    assert source >= len("device:") + point_limits.SOURCE_CHARS
