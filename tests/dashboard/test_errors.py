"""Errors of every part in its own form, with the true reason."""

from __future__ import annotations

import random
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError
from django.test import Client

from dashboard import errors
from jobs.people.api_tokens import create_token

pytestmark = pytest.mark.slow

SEED = 20261130
PARTS = {
    "page": ["/", "/login/", "/runs/", "/jobs/", "/reports/", "/nowhere/", "/compare/"],
    "api": [
        "/api/v1/runs", "/api/v1/jobs", "/api/v1/nowhere", "/api/v2/", "/api/", "/api/v1", "/api/v1/openapi.json",
        "/api/v1/runs/x/points", "/api/v1/runs/abcdefghjkmn/series", "/api/v1/series", "/api/v1/queue",
    ],
    "mlflow": [
        "/api/2.0/mlflow/runs/search", "/api/2.0/mlflow/nowhere", "/ajax-api/2.0/mlflow/runs/get",
        "/api/3.0/mlflow/runs", "/api/2.0/mlflow-artifacts/artifacts", "/api/2.0/mlflow/experiments/search",
    ],
}  # fmt: skip
METHODS = ("get", "post", "put", "patch", "delete", "options", "head")


def form_of(reply: Any) -> str:
    """Which part's form an error has; '' for none."""
    if "json" in reply.get("Content-Type", ""):
        body = reply.json()
        if set(body) == {"detail", "problems"} and len(body["detail"]) > 10:
            return "api"
        return "mlflow" if set(body) == {"error_code", "message"} and len(body["message"]) > 5 else ""
    return "page" if "<h1>" in reply.text and "error-page" in reply.text else ""


@pytest.fixture
def clients(owner, team, owner_browser) -> list[Client]:
    bearer = Client(headers={"Authorization": f"Bearer {create_token(owner, team, 'test')}"})
    strange = Client(headers={"Authorization": "Bearer fw_no"})
    crossing = Client(enforce_csrf_checks=True)
    crossing.force_login(owner)
    found = [Client(), owner_browser, bearer, strange, crossing]
    for client in found:
        client.raise_request_exception = False
    return found


def test_every_refusal_has_the_form_of_its_part(clients):
    for part, paths in PARTS.items():
        for path in paths:
            for method in METHODS:
                for client in clients:
                    reply = getattr(client, method)(path)
                    if reply.status_code >= 400 and method != "head":
                        assert form_of(reply) == part, (path, method, reply.status_code, reply.text[:300])
                    assert reply.status_code < 500


@pytest.mark.parametrize("host", ["evil.example", "a" * 300 + ".example", "x_y!", "[::1", "bad\x7fhost", "ü"])
def test_a_foreign_host_is_named_in_the_form_of_its_part(host, clients):
    for part, path in (
        ("page", "/login/"),
        ("api", "/api/v1/runs"),
        ("mlflow", "/api/2.0/mlflow/runs/search"),
    ):
        reply = clients[0].get(path, headers={"Host": host})
        assert (reply.status_code, form_of(reply)) == (400, part)
        assert "ALLOWED_HOSTS" in reply.text and len(reply.text) < 10_000


@pytest.mark.parametrize("error", [OperationalError("gone"), InterfaceError("closed")])
def test_without_the_database_every_part_says_503_in_its_form(error, clients, monkeypatch):
    def away(*arguments: Any, **options: Any) -> None:
        raise error

    drawn = random.Random(SEED)
    with monkeypatch.context() as patch:
        patch.setattr("django.db.backends.utils.CursorWrapper.execute", away)
        for part, paths in PARTS.items():
            for path in paths:
                for client in drawn.sample(clients, 3):
                    reply = client.get(path)
                    if reply.status_code == 503:
                        assert form_of(reply) == part, (path, reply.text[:300])
                        assert int(reply["Retry-After"]) > 0
                    assert reply.status_code != 500, path
        assert clients[0].get("/login/").status_code == 503
        assert clients[1].get("/runs/").status_code == 503
        for path in ("/api/v1/runs", "/api/2.0/mlflow/experiments/search"):
            assert clients[2].get(path).status_code == 503


ORIGINS = {
    "another site": ({"Origin": "https://evil.example"}, "https://evil.example"),
    "a proxy that ends TLS": (
        {"Origin": "https://testserver", "X-Forwarded-Proto": "https"}, "FOURWALLS_TRUSTED_PROXIES=127.0.0.1",
    ),
    "a proxy that says nothing": ({"Origin": "https://testserver"}, "CSRF_TRUSTED_ORIGINS=https://testserver"),
    "no cookie": ({}, "Allow cookies"),
}  # fmt: skip


@pytest.mark.parametrize("name", ORIGINS)
def test_a_refused_form_gives_the_true_reason(name, owner):
    headers, words = ORIGINS[name]
    client = Client(enforce_csrf_checks=True)
    reply = client.post("/login/", {"username": "olga", "password": "x"}, headers=headers)
    assert (reply.status_code, form_of(reply)) == (403, "page")
    assert words in reply.text
    assert "signed in or out" not in reply.text


def test_a_form_of_an_earlier_login_says_so(owner):
    client = Client(enforce_csrf_checks=True)
    client.get("/login/")
    reply = client.post("/login/", {"username": "olga", "password": "x", "csrfmiddlewaretoken": "a" * 64})
    assert reply.status_code == 403 and "signed in or out" in reply.text


def test_a_form_of_another_origin_to_the_api_gives_the_reason(owner):
    client = Client(enforce_csrf_checks=True)
    client.force_login(owner)
    reply = client.post("/api/v1/runs", {}, "application/json", headers={"Origin": "https://testserver"})
    assert reply.status_code == 403
    assert "CSRF_TRUSTED_ORIGINS" in reply.json()["detail"]


def test_statuses_of_mlflow_keep_their_number(rf):
    for status in (400, 401, 403, 404, 405, 413, 429, 500, 503):
        assert errors.reply(rf.get("/api/2.0/mlflow/runs"), status).status_code == status
