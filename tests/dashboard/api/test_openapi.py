"""The description of the API against the specification and against itself."""

from __future__ import annotations

import json

import pytest

from dashboard.api.api import api


@pytest.fixture(scope="module")
def schema():
    return json.loads(json.dumps(api.get_openapi_schema(path_prefix="/api/v1/"), default=str))


def test_it_is_valid(schema):
    validator = pytest.importorskip("openapi_spec_validator")
    validator.validate(schema)


def test_bodies_of_requests_refuse_unknown_fields(schema):
    loose = []
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
            if name and schema["components"]["schemas"][name].get("additionalProperties") is not False:
                loose.append(f"{method} {path}: {name}")
    assert not [one for one in loose if "/points" not in one]  # which msgspec checks by itself


def test_states_are_enumerated(schema):
    for name in ("RunOut", "JobOut"):
        assert "succeeded" in json.dumps(schema["components"]["schemas"][name]["properties"]["state"])


def test_every_reference_is_defined(schema):
    text = json.dumps(schema)
    for name in set(part.split('"')[0] for part in text.split("#/components/schemas/")[1:]):
        assert name in schema["components"]["schemas"], name
