"""Access to MLflow's API by token and role."""

from __future__ import annotations

import base64

import pytest
from django.test import Client

from jobs.models import Run
from jobs.people.api_tokens import create_token

READS = [
    ("runs/get", {"run_id": "{run}"}),
    ("metrics/get-history", {"run_id": "{run}", "metric_key": "loss"}),
    ("metrics/get-history-bulk", {"run_id": "{run}", "metric_key": "loss"}),
    ("metrics/get-history-bulk-interval", {"run_ids": "{run}", "metric_key": "loss"}),
    ("artifacts/list", {"run_id": "{run}"}),
    ("experiments/get", {"experiment_id": "{experiment}"}),
    ("experiments/get-by-name", {"experiment_name": "secret"}),
]
WRITES = [
    ("runs/create", {"experiment_id": "{experiment}"}),
    ("runs/update", {"run_id": "{run}", "status": "FAILED"}),
    ("runs/delete", {"run_id": "{run}"}),
    ("runs/restore", {"run_id": "{run}"}),
    ("runs/log-metric", {"run_id": "{run}", "key": "a", "value": 1, "timestamp": 1}),
    ("runs/log-parameter", {"run_id": "{run}", "key": "a", "value": "1"}),
    ("runs/log-batch", {"run_id": "{run}", "tags": [{"key": "a", "value": "b"}]}),
    ("runs/log-inputs", {"run_id": "{run}", "datasets": []}),
    ("runs/set-tag", {"run_id": "{run}", "key": "a", "value": "b"}),
    ("runs/delete-tag", {"run_id": "{run}", "key": "a"}),
    ("experiments/update", {"experiment_id": "{experiment}", "new_name": "x"}),
    ("experiments/delete", {"experiment_id": "{experiment}"}),
    ("experiments/restore", {"experiment_id": "{experiment}"}),
    ("experiments/set-experiment-tag", {"experiment_id": "{experiment}", "key": "a", "value": "b"}),
    ("experiments/delete-experiment-tag", {"experiment_id": "{experiment}", "key": "a"}),
]


@pytest.fixture
def ours(api):
    """Something of the team 'research'."""
    experiment = api.post("experiments/create", name="secret").json()["experiment_id"]
    return {"experiment": experiment, "run": api.new_run(experiment_id=experiment)}


def filled(body, ours):
    return {key: value.format_map(ours) if isinstance(value, str) else value for key, value in body.items()}


@pytest.mark.parametrize(("address", "body"), READS)
def test_a_stranger_reads_nothing(api_of, stranger, ours, address, body):
    answer = api_of(stranger).get(address, **filled(body, ours))
    assert (answer.status_code, answer.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


@pytest.mark.parametrize(("address", "body"), WRITES)
def test_a_stranger_changes_nothing(api_of, stranger, ours, address, body):
    answer = api_of(stranger).post(address, **filled(body, ours))
    assert (answer.status_code, answer.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert Run.objects.count() == 1 and Run.objects.get().state == "running"


def test_a_stranger_finds_nothing(api_of, stranger, ours):
    api = api_of(stranger)
    assert [one["name"] for one in api.post("experiments/search").json()["experiments"]] == ["Default"]
    assert api.post("runs/search", experiment_ids=["0", ours["experiment"]]).json()["runs"] == []


@pytest.mark.parametrize("method", ["get", "put", "delete"])
def test_a_stranger_has_no_files(api_of, stranger, ours, method):
    address = "/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts/a".format_map(ours)
    assert api_of(stranger).send(method, address).status_code == 404


@pytest.mark.parametrize(("address", "body"), WRITES)
def test_a_viewer_writes_nothing(api_of, viewer, ours, address, body):
    answer = api_of(viewer).post(address, **filled(body, ours))
    assert (answer.status_code, answer.json()["error_code"]) == (403, "PERMISSION_DENIED")


@pytest.mark.parametrize(("address", "body"), READS)
def test_a_viewer_and_a_team_mate_read_everything(api_of, viewer, team_mate, ours, address, body):
    for person in (viewer, team_mate):
        assert api_of(person).get(address, **filled(body, ours)).status_code == 200


def test_a_run_cannot_hang_under_a_strangers(api_of, stranger, ours):
    api = api_of(stranger)
    tags = [{"key": "mlflow.parentRunId", "value": ours["run"]}]
    assert api.post("runs/create", experiment_id="0", tags=tags).status_code == 404


def test_a_token_may_come_as_the_password_of_basic_whatever_the_user(owner, team):
    token = create_token(owner, team, "test")
    for user, password, status in (("olga", token, 200), ("anything", token, 200), ("olga", "wrong", 401)):
        body = base64.b64encode(f"{user}:{password}".encode()).decode()
        answer = Client().get(
            "/api/2.0/mlflow/experiments/get?experiment_id=0", HTTP_AUTHORIZATION=f"Basic {body}"
        )
        assert answer.status_code == status


@pytest.mark.parametrize(
    "expected", ["", "Bearer", "Bearer nonsense", "Basic", "Basic !", "Basic Zm9v", "Digest x"]
)
@pytest.mark.django_db
def test_without_a_token_there_is_only_a_401_that_explains_how_to_get_one(expected):
    answer = Client().post(
        "/api/2.0/mlflow/runs/search", HTTP_AUTHORIZATION=expected, content_type="application/json"
    )
    assert (answer.status_code, answer.json()["error_code"]) == (401, "UNAUTHENTICATED")


def test_a_browsers_session_is_no_token(owner, ours):
    browser = Client()
    browser.force_login(owner)
    assert browser.get(f"/api/2.0/mlflow/runs/get?run_id={ours['run']}").status_code == 401


def test_an_address_that_we_do_not_offer_is_said_in_json(api):
    answer = api.post("registered-models/create", name="x")
    assert (answer.status_code, answer.json()["error_code"]) == (404, "ENDPOINT_NOT_FOUND")
    assert api.send("get", "/api/3.0/mlflow/server-info").status_code == 404
    assert api.get("runs/create").status_code == 405
