"""Rate limits and storage limits: the sentence in the form of the part, Retry-After, and nobody else is stopped."""

from __future__ import annotations

import pytest
from django.test import Client

from dashboard.server import rate_limits
from jobs.models import Artefact, RunMetric
from jobs.people import storage
from jobs.people.api_tokens import create_token
from jobs.tracking import external_runs
from tests.dashboard.test_errors import form_of

POINT = {
    "stream": "w",
    "batches": [{"seq": 0, "series": [{"metric": "loss", "values": [1.0], "steps": [0], "times": [1e9]}]}],
}


@pytest.fixture
def run(owner, team):
    return external_runs.create(team=team, owner=owner, name="logged", origin="test")


@pytest.fixture
def bearer(owner, team):
    return Client(headers={"Authorization": f"Bearer {create_token(owner, team, 'test')}"})


@pytest.fixture(autouse=True)
def counted_anew(monkeypatch):
    monkeypatch.setattr(storage, "_points", {})


def send_points(client, run):
    return client.post(f"/api/v1/runs/{run.id}/points", POINT, "application/json")


def log_metric(client, run):
    body = {"run_id": run.id, "key": "m", "value": 1, "timestamp": 1}
    return client.post("/api/2.0/mlflow/runs/log-metric", body, "application/json")


# Setting -> a request that counts, and the form of its refusal
COUNTED = {
    "SUBMITS_PER_MIN": (lambda browser, bearer, run: bearer.post("/api/v1/jobs", {}, "application/json"), "api"),
    "LOGINS_PER_MIN": (
        lambda browser, bearer, run: Client().post("/login/", {"username": "a", "password": "b"}), "page",
    ),
    "EXPORTS_PER_MIN": (lambda browser, bearer, run: bearer.get(f"/api/v1/runs/{run.id}/export"), "api"),
    "INGESTS_PER_MIN": (lambda browser, bearer, run: send_points(bearer, run), "api"),
}  # fmt: skip


@pytest.mark.parametrize("setting", COUNTED)
def test_more_than_the_limit_in_a_minute_is_refused_with_the_time_to_wait(
    setting, settings, monkeypatch, owner_browser, bearer, run, node
):
    monkeypatch.setattr(rate_limits.time, "time", lambda: 1_000_000_030.0)
    setattr(settings, setting, 3)
    send, form = COUNTED[setting]
    replies = [send(owner_browser, bearer, run) for _ in range(5)]
    assert [reply.status_code == 429 for reply in replies] == [False] * 3 + [True] * 2
    assert form_of(replies[-1]) == form
    assert 0 < int(replies[-1]["Retry-After"]) <= 60
    assert f"FOURWALLS_{setting}" in replies[-1].text
    monkeypatch.setattr(rate_limits.time, "time", lambda: 1_000_000_091.0)
    assert send(owner_browser, bearer, run).status_code != 429


def test_a_caller_over_the_limit_stops_no_other(settings, owner, team, team_mate, bearer, run):
    settings.INGESTS_PER_MIN = 1
    other = Client(headers={"Authorization": f"Bearer {create_token(team_mate, team, 'other')}"})
    assert [send_points(one, run).status_code for one in (bearer, bearer, other)] == [200, 429, 200]
    assert log_metric(bearer, run).status_code == 429 and form_of(log_metric(bearer, run)) == "mlflow"


def test_logins_count_by_address_and_only_the_connection_s_own_counts(settings, db):
    settings.LOGINS_PER_MIN = 2

    def login(address, forged):
        return (
            Client()
            .post(
                "/login/",
                {"username": forged, "password": "b"},
                headers={"X-Forwarded-For": forged},
                REMOTE_ADDR=address,
            )
            .status_code
        )

    assert [login("10.0.0.1", f"1.2.3.{n}") for n in range(4)] == [200, 200, 429, 429]
    assert login("10.0.0.2", "1.2.3.4") == 200


def test_zero_means_no_limit(settings, bearer, run):
    settings.INGESTS_PER_MIN = 0
    assert all(send_points(bearer, run).status_code == 200 for _ in range(5))


def test_a_team_without_room_for_points_keeps_them_at_the_client(team, bearer, run, other_team):
    team.points_limit = 10
    team.save()
    RunMetric.objects.create(run=run, key="a", last_at_us=1, count=10)
    reply = send_points(bearer, run)
    assert (reply.status_code, form_of(reply)) == (429, "api")
    assert "Team Research has 10 of its 10 points" in reply.json()["detail"]
    reply = log_metric(bearer, run)
    assert (reply.status_code, form_of(reply)) == (429, "mlflow")
    team.points_limit = 0
    team.save()
    assert send_points(bearer, run).status_code == 200


def test_a_team_without_room_for_artefacts_is_refused_and_keeps_what_it_has(settings, team, bearer, run):
    settings.TEAM_ARTEFACT_BYTES = 100
    address = f"/api/v1/runs/{run.id}/artefacts?path="
    assert bearer.put(f"{address}a", b"x" * 60, "application/octet-stream").status_code in (200, 201)
    reply = bearer.put(f"{address}b", b"x" * 60, "application/octet-stream")
    assert (reply.status_code, form_of(reply)) == (429, "api")
    assert "60 of its 100 bytes of artefacts" in reply.json()["detail"]
    assert Artefact.objects.filter(run=run).count() == 1
    team.artefact_limit_bytes = 1_000
    team.save()
    assert bearer.put(f"{address}b", b"x" * 60, "application/octet-stream").status_code in (200, 201)


def test_a_team_without_room_for_data_sets_is_told_at_the_upload(settings, bearer, owner_browser):
    settings.TEAM_DATASET_BYTES = 5
    reply = bearer.post(
        "/api/v1/datasets?file_name=a.txt", b"a line of text\n" * 9, "application/octet-stream"
    )
    assert reply.status_code == 422 and "bytes of data sets" in reply.json()["detail"]


def test_use_is_summed_per_team(team, other_team, run):
    RunMetric.objects.create(run=run, key="a", last_at_us=1, count=7)
    assert storage.get_use(team) == storage.StorageUse(0, 0, 7)
    assert storage.get_use(other_team) == storage.StorageUse(0, 0, 0)
