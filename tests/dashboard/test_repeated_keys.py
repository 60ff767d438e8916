"""Keys that occur twice in YAML or JSON: refused by name, at every place that reads them."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
import yaml
from django.test import Client

from dashboard.server.json_bodies import BadBody, read_json
from engine.spec.spec import SpecError, yaml_values
from jobs.people.api_tokens import create_token
from jobs.tracking import external_runs

SEED, CASES = 20261130, 300
NAMES = ("seed", "name", "layers", "a b", "ü", "1")


def draw(drawn: random.Random, depth: int = 0) -> Any:
    if depth < 3 and drawn.random() < 0.6:
        if drawn.random() < 0.3:
            return [draw(drawn, depth + 1) for _ in range(drawn.randrange(3))]
        return {name: draw(drawn, depth + 1) for name in drawn.sample(NAMES, drawn.randrange(1, 4))}
    return drawn.choice((1, 0.5, "x", True, None))


def spoil(text: str, drawn: random.Random) -> tuple[str, str] | None:
    """A JSON text with one key twice in one of its objects, and the key; None without an object."""
    starts = [at for at, letter in enumerate(text) if letter == "{" and text[at + 1] != "}"]
    if not starts:
        return None
    at = drawn.choice(starts)
    key = json.JSONDecoder().raw_decode(text, at + 1)[0]
    return f"{text[: at + 1]}{json.dumps(key)}: 5, {text[at + 1 :]}", key


@pytest.mark.parametrize("part", range(3))
def test_a_generated_key_twice_is_named_and_once_is_read(part):
    drawn = random.Random(SEED + part)
    spoiled = 0
    for _ in range(CASES // 3):
        text = json.dumps(draw(drawn), ensure_ascii=drawn.random() < 0.5)
        assert read_json(text) == json.loads(text)
        assert yaml_values(text) == (yaml.safe_load(text) if text != "null" else {})
        if (bad := spoil(text, drawn)) is None:
            continue
        spoiled += 1
        with pytest.raises(BadBody, match="twice") as refused:
            read_json(bad[0])
        assert repr(bad[1]) in str(refused.value)
        with pytest.raises(SpecError, match="occurs twice, in line 1") as problem:
            yaml_values(bad[0])
        assert problem.value.problems[0].field.endswith(bad[1])
    assert spoiled > CASES // 10


YAML = {
    "a block": ("seed: 1\nmodel:\n  layers: 2\n  width: 4\n  layers: 3\n", "model.layers", "lines 3 and 5"),
    "the root": ("seed: 1\nname: a\nseed: 2\n", "seed", "lines 1 and 3"),
    "quoted and plain": ("seed: 1\n'seed': 2\n", "seed", "lines 1 and 2"),
    "in a list": ("a:\n- b: 1\n  b: 2\n", "a[0].b", "lines 2 and 3"),
    "flow": ("model: {layers: 1, layers: 2}\n", "model.layers", "line 1"),
}


@pytest.mark.parametrize("name", YAML)
def test_the_field_and_both_lines_are_named(name):
    text, field, lines = YAML[name]
    with pytest.raises(SpecError) as refused:
        yaml_values(text)
    (problem,) = refused.value.problems
    assert problem.field == field and lines in problem.message


def test_equal_keys_of_different_mappings_are_fine():
    assert yaml_values("a: {x: 1}\nb: {x: 1}\nc:\n- x: 1\n- x: 2\n") == {
        "a": {"x": 1}, "b": {"x": 1}, "c": [{"x": 1}, {"x": 2}],
    }  # fmt: skip


@pytest.fixture
def bearer(owner, team, node):
    return Client(headers={"Authorization": f"Bearer {create_token(owner, team, 'test')}"})


def test_every_api_refuses_them(bearer, owner, team):
    run = external_runs.create(team=team, owner=owner, name="logged", origin="test")
    one = '{"metric": "loss", "values": [1], "values": [2], "steps": [0], "times": [1e9]}'
    metric = '"key": "a", "key": "b", "value": 1, "timestamp": 1'
    bodies = {
        "/api/v1/runs": '{"name": "a", "name": "b"}',
        f"/api/v1/runs/{run.id}/params": '{"params": {"a": 1, "a": 2}}',
        "/api/v1/jobs": '{"seed": 1, "seed": 2}',
        "/api/v1/templates": '{"name": "x", "name": "y"}',
        "/api/v1/sweeps/preview": '{"spec": {}, "sweep": {"vary": {"seed": [1]}, "vary": {"seed": [2]}}}',
        f"/api/v1/runs/{run.id}/points": f'{{"stream": "w", "batches": [{{"seq": 0, "series": [{one}]}}]}}',
        "/api/2.0/mlflow/runs/create": '{"run_name": "a", "run_name": "b"}',
        "/api/2.0/mlflow/runs/log-metric": f'{{"run_id": "{run.id}", {metric}}}',
    }  # fmt: skip
    for path, body in bodies.items():
        reply = bearer.post(path, body, "application/json")
        assert reply.status_code in (400, 422), path
        assert "occurs twice" in reply.text, (path, reply.text)


def test_the_submit_page_shows_the_field(owner_browser, node):
    fields = {"source": "yaml", "yaml": "seed: 1\nname: a\nseed: 2\n"}
    reply = owner_browser.post("/submit/check/", fields, headers={"Accept": "application/json"})
    assert "'seed' occurs twice, in lines 1 and 3" in reply.json()["problems"][0]["message"]
