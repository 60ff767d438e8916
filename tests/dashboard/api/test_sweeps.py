"""Sweeps over HTTP."""

from __future__ import annotations

import pytest

from jobs.models import Job, Sweep

JSON = {"content_type": "application/json"}
API = "/api/v1/sweeps"
BODY = {
    "spec": {"parallel": {"data": 1}},
    "sweep": {"vary": {"seed": [1, 2, 3], "model.heads": [2, 3]}, "parallel": 2},
}


@pytest.fixture
def sweep(pool, client_of) -> dict:
    answer = client_of("owner").post(API, BODY, **JSON)
    assert answer.status_code == 201, answer.content
    return answer.json()


def test_it_is_counted_before_anything_starts(pool, client_of):
    body = client_of("owner").post(f"{API}/preview", BODY, **JSON).json()
    assert (body["num_runs"], len(body["points"]), list(body["refused"])) == (3, 6, ["2", "4", "6"])
    assert body["num_steps"] == 600 and not Job.objects.exists()


def test_it_is_submitted_and_read_with_its_runs(sweep, client_of):
    now = client_of("mate").get(f"{API}/{sweep['id']}").json()
    assert (now["state"], now["num_points"], now["owner"]) == ("running", 6, "owner")
    assert [(run["number"], run["state"]) for run in now["runs"]] == [
        (1, "queued"), (2, "refused"), (3, "queued"), (4, "refused"), (5, "not submitted"), (6, "refused"),
    ]  # fmt: skip
    assert now["runs"][0]["values"] == {"seed": 1, "model.heads": 2}


def test_yaml_does_as_well(pool, client_of):
    text = "spec: {parallel: {data: 1}}\nsweep:\n  vary: {optimiser.learning_rate: 1e-4..1e-2 log}\n"
    answer = client_of("owner").post(API, text, content_type="application/yaml")
    assert answer.status_code == 201 and answer.json()["num_points"] == 5


def test_it_is_paused_resumed_and_cancelled(sweep, client_of):
    mate = client_of("mate")
    for action, state in (("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")):
        assert mate.post(f"{API}/{sweep['id']}/{action}").json()["state"] == state
    assert mate.post(f"{API}/{sweep['id']}/pause").status_code == 409
    assert set(Job.objects.values_list("state", flat=True)) == {"cancelled"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, ""),
        ({"spec": {}, "sweep": {}}, "sweep.vary"),
        ({"spec": {}, "sweep": {"vary": {"seed": [1]}, "count": 0}}, "sweep.count"),
        ({"spec": {"modle": 1}, "sweep": {"vary": {"seed": [1]}}}, "modle"),
    ],
)
def test_what_is_no_sweep_is_refused_at_its_field(pool, client_of, body, field):
    answer = client_of("owner").post(API, body, **JSON)
    assert answer.status_code == 422 and answer.json()["problems"][0]["field"] == field
    assert not Sweep.objects.exists()


def test_they_are_listed_by_state(sweep, client_of):
    client = client_of("owner")
    assert [one["id"] for one in client.get(f"{API}?state=running").json()["items"]] == [sweep["id"]]
    assert client.get(f"{API}?state=finished").json()["items"] == []
