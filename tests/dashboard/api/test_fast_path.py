"""The fast path for points replies like the plain view."""

from __future__ import annotations

import json

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError

from dashboard.api import compressed_bodies, fast_path
from engine.request_limits import POINTS_BODY_BYTES, Limit
from jobs import series
from jobs.models import ApiToken, Membership, Team
from jobs.people import api_tokens
from jobs.tracking import external_runs, points
from tests.dashboard.api.asgi_calls import ask

pytestmark = pytest.mark.django_db(transaction=True)

SERIES = {"metric": "loss", "values": [1], "times": [1e9], "steps": [0]}
BODY = json.dumps({"stream": "w", "batches": [{"seq": 0, "series": [SERIES]}]}).encode()


@pytest.fixture
def run(team, owner):
    yield external_runs.create(team=team, owner=owner, name="mine", origin="api")
    fast_path._thread.submit(lambda: fast_path.connection.close()).result()


@pytest.fixture
def token(team, owner):
    return api_tokens.create_token(owner, team, "script")


def call(path, token=None, *, body=BODY, method="POST", hangs_up=False):
    """Status and answer; the body comes in pieces."""
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    size = max(1, len(body) // 3)
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append({"type": "http.disconnect"} if hangs_up else {"type": "http.request", "body": b""})
    status, _, reply = ask(path, headers, method, messages)
    return status, json.loads(reply) if reply else None


def path(run):
    return f"/api/v1/runs/{run.id}/points"


def test_a_delivery_with_a_token_is_stored(run, token):
    assert call(path(run), token) == (200, {"stream": "w", "taken": [0]})
    assert call(path(run), token) == (200, {"stream": "w", "taken": [0]})
    assert [name.count for name in series.names(run.id)] == [1]


def test_an_unknown_token_is_refused_with_the_reason(run):
    assert call(path(run), "fw_nothing")[0] == 401


def test_a_stranger_and_a_viewer_find_nothing(run, team, owner):
    red = Team.objects.create(name="red", slug="red")
    stranger, viewer = User.objects.create_user("sam"), User.objects.create_user("vera")
    Membership.objects.create(user=stranger, team=red)
    Membership.objects.create(user=viewer, team=team, role="viewer")
    for user, home in ((stranger, red), (viewer, team)):
        assert call(path(run), api_tokens.create_token(user, home, "script"))[0] == 404


def test_a_token_that_is_taken_away_writes_a_few_seconds_longer_at_most(run, token, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(fast_path.time, "monotonic", lambda: now[0])
    assert call(path(run), token)[0] == 200
    ApiToken.objects.all().delete()
    now[0] += fast_path.ACCESS_CACHED_S + 0.1
    assert call(path(run), token)[0] == 401


@pytest.mark.parametrize(
    ("where", "token", "method"),
    [("/api/v1/runs/0123456789ab/points", None, "POST"), ("/api/v1/runs", "fw_x", "POST"),
     ("/api/v1/runs/0123456789ab/points", "fw_x", "GET"), ("/runs/0123456789ab/points", "fw_x", "POST")],
)  # fmt: skip
def test_everything_else_goes_djangos_way(where, token, method):
    assert call(where, token, method=method)[0] == 299


def test_a_body_over_the_limit_is_not_read_to_its_end(run, token, monkeypatch):
    small = Limit(100, "bytes", POINTS_BODY_BYTES.sentence)
    for module in (compressed_bodies, fast_path):
        monkeypatch.setattr(module, "POINTS_BODY_BYTES", small)
    assert call(path(run), token, body=b" " * 400)[0] == 413


def test_a_caller_who_hangs_up_halfway_has_sent_nothing(run, token):
    assert call(path(run), token, hangs_up=True) == (None, None)
    assert series.names(run.id) == []


def test_a_broken_connection_is_opened_again_and_one_that_stays_broken_is_reported(run, token, monkeypatch):
    broken, store = [OperationalError("gone")], points.store

    def once_broken(*arguments):
        if broken:
            raise broken.pop()
        store(*arguments)

    monkeypatch.setattr(points, "store", once_broken)
    assert call(path(run), token)[0] == 200
    broken[:] = [OperationalError("gone")] * 2
    status, body = call(path(run), token)
    assert status == 503
    assert "Send it again" in body["detail"]


def test_a_run_that_is_deleted_meanwhile_is_not_found(run, token):
    assert call(path(run), token)[0] == 200
    run_id = path(run)
    run.delete()
    assert call(run_id, token)[0] == 404
