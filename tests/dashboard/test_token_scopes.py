"""Scopes of tokens: every operation of the API and of MLflow's API is refused to a token that is too narrow."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from dashboard.api.api import api
from dashboard.mlflow import routes
from dashboard.token_scopes import READING, needed_scope
from jobs.models import Run
from jobs.models.people import TokenScope
from jobs.people import api_tokens

# What changes something, by hand: an operation that is on no line here fails the test below.
REPORTED = (
    "writers|params|tags|heartbeat|missing|start|finish|clock|hosts|artefacts|points|media|console|environment"
    "|alerts|versions"
)
LOGGING = re.compile(rf"/api/v1/runs(/\{{run_id\}}(/({REPORTED}))?)?")
SUBMITTING = re.compile(
    r"/api/v1/(jobs|sweeps|templates|datasets|projects|bin)(/.*)?|/api/v1/runs/\{run_id\}/verdict/check"
)
ADMINISTERING = re.compile(r"/api/v1/(nodes|pools)/.*")


def _operations() -> list[tuple[str, str]]:
    paths = api.get_openapi_schema()["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods]


OPERATIONS = _operations()


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_operation_needs_the_scope_of_its_kind(method, path):
    if method in READING or path == "/api/v1/sweeps/preview":
        expected = TokenScope.READ
    elif LOGGING.fullmatch(path):
        expected = TokenScope.LOG
    elif SUBMITTING.fullmatch(path):
        expected = TokenScope.SUBMIT
    else:
        assert ADMINISTERING.fullmatch(path), f"{method} {path} is in no group: say which scope it needs"
        expected = TokenScope.ADMIN
    assert needed_scope(method, re.sub(r"\{\w+\}", "x", path)) == expected


def test_an_operation_on_no_line_needs_everything():
    assert needed_scope("POST", "/api/v1/something-new") == TokenScope.ADMIN
    assert needed_scope("POST", "/api/v1/runsandmore") == TokenScope.ADMIN


@pytest.fixture
def run(owner, team):
    return Run.objects.create(team=team, owner=owner, name="logged")


def _caller(owner, team, scope: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {api_tokens.create_token(owner, team, 'x', scope)}"})


WRITES = [(method, path) for method, path in OPERATIONS if method not in READING and "preview" not in path]


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_a_reading_token_is_refused_by_every_change(owner, team, run, method, path):
    address = re.sub(r"\{run_id\}", run.id, path)
    address = re.sub(r"\{\w+\}", "1", address)
    reply = _caller(owner, team, "read").generic(method, address, "{}", content_type="application/json")
    assert reply.status_code == 403, reply.content
    assert "scope &#x27;read&#x27;" in reply.text or "scope 'read'" in reply.text


@pytest.mark.parametrize("name", sorted(routes.TRACKING))
def test_a_reading_token_changes_nothing_through_mlflow(owner, team, name):
    view = routes.TRACKING[name]
    method = getattr(view, "method", "POST")
    reply = _caller(owner, team, "read").generic(
        method, f"/api/2.0/mlflow/{name}", "{}", content_type="application/json"
    )
    is_reading = method == "GET" or re.search(r"search|get", name)
    assert (reply.status_code != 403) == bool(is_reading), (method, name, reply.content)


def test_each_scope_holds_what_the_ones_before_hold(owner, team, run):
    starts = {
        "read": ("GET", f"/api/v1/runs/{run.id}"),
        "log": ("POST", f"/api/v1/runs/{run.id}/tags"),
        "submit": ("POST", "/api/v1/templates"),
        "admin": ("POST", "/api/v1/pools/default/tokens"),
    }
    for held, scope in enumerate(starts):
        for needed, (method, path) in enumerate(starts.values()):
            reply = _caller(owner, team, scope).generic(method, path, "{}", content_type="application/json")
            assert (reply.status_code == 403) == (needed > held), (scope, method, path, reply.content)


def test_points_by_the_fast_door_need_a_logging_token(owner, team, run):
    from dashboard.api import fast_path

    token = api_tokens.create_token(owner, team, "x", "read")
    with pytest.raises(fast_path.NarrowToken, match="needs 'log'"):
        fast_path._found(token, run.id)
