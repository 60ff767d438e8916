"""Fields and YAML of a spec in sync; no typed text is lost."""

from __future__ import annotations

import pytest
import yaml

from dashboard.pages.submit import yaml_text
from engine.spec.presets import preset
from engine.spec.spec import parse, to_yaml
from tests.dashboard.conftest import fields_of

CHECK = "/submit/check/"


@pytest.fixture
def check(owner_browser, node):
    def post(source: str, text: str, **changes: str) -> dict:
        return owner_browser.post(
            CHECK, fields_of(preset("demo"), **changes) | {"source": source, "yaml": text}
        ).json()

    return post


def test_a_changed_field_is_written_into_the_yaml_and_comments_stay(check):
    text = "# my notes\n" + to_yaml(preset("demo")).replace("width: 128", "width: 128  # narrow")
    result = check("fields", text, model__layers="6")["yaml"]
    assert result == text.replace("layers: 4", "layers: 6")


def test_a_field_that_the_yaml_leaves_out_is_added_to_its_block(check):
    result = check("fields", "name: demo\nmodel:\n  layers: 4\nseed: 1\n", model__width="256")["yaml"]
    assert yaml.safe_load(result)["model"]["width"] == 256
    assert result.startswith("name: demo\nmodel:\n  layers: 4\n")


def test_changed_yaml_fills_the_fields(check):
    values = check("yaml", "name: mine\nmodel: {layers: 3}\noptimiser:\n  learning_rate: 3e-4\n")["values"]
    assert (values["name"], values["model.layers"], values["optimiser.learning_rate"]) == (
        "mine",
        "3",
        "3e-4",
    )
    assert values["model.width"] == "128"  # left out, so the default


def test_a_learning_rate_keeps_its_typed_notation(check):
    text = to_yaml(preset("demo")).replace("learning_rate: 0.001", "learning_rate: 3e-4")
    assert check("fields", text, optimiser__learning_rate="3e-4", seed="9")["yaml"] == text.replace(
        "seed: 1", "seed: 9"
    )


def test_invalid_yaml_is_kept_when_a_field_changes(check):
    result = check("fields", "model: [1,\nname: {", model__layers="6")
    assert result["yaml"] == "model: [1,\nname: {"
    assert "cannot be read" in result["note"]
    assert result["problems"] == []
    assert result["values"]["model.layers"] == "6"


def test_invalid_yaml_does_not_change_the_fields(check):
    result = check("yaml", "model: [1,\nname: {")
    assert result["values"] is None
    assert result["problems"][0]["line"] == 2


def test_a_wrong_value_in_yaml_is_shown_in_its_field(check):
    result = check("yaml", "model:\n  layers: many\n")
    assert result["values"]["model.layers"] == "many"
    assert result["problems"][0] | {"field": "model.layers", "line": 2} == result["problems"][0]


def test_empty_yaml_is_written_from_the_fields(check):
    assert parse(yaml.safe_load(check("fields", "")["yaml"])) == preset("demo")


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words", "3"])
def test_yaml_that_is_not_a_mapping_is_refused_with_a_message(check, text):
    assert "A spec is a mapping of fields" in check("yaml", text)["problems"][0]["message"]


@pytest.mark.parametrize(
    ("text", "path", "value", "wanted"),
    [
        ("a: 1\nb: 2\n", "a", 5, "a: 5\nb: 2\n"),
        ("a:\nb: 2\n", "a", 5, "a: 5\nb: 2\n"),
        ("m:\n    x: 1  # why\n", "m.y", True, "m:\n    x: 1  # why\n    y: true\n"),
        ("m:\n  x: 1", "n.y", "it's", "m:\n  x: 1\nn:\n  y: it's"),
        ("m: {x: 1}\n", "m.x", 2, "m: {x: 2}\n"),
    ],
)
def test_one_value_is_set_in_place(text, path, value, wanted):
    assert yaml_text.with_value(text, path, value) == wanted


@pytest.mark.parametrize(
    ("text", "path"), [("m: {x: 1}\n", "m.y"), ("m: 3\n", "m.x"), ("", "a"), ("a: [", "a")]
)
def test_a_value_that_cannot_be_set_in_place_is_reported(text, path):
    assert yaml_text.with_value(text, path, 1) is None
