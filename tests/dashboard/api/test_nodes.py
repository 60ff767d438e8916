"""Nodes over HTTP: state, actions of admins, join tokens."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from jobs.models import Device, Node, NodeToken
from jobs.scheduler import loop

NODE = "/api/v1/nodes/node-1"
TOKENS = "/api/v1/pools/default/tokens"


@pytest.fixture
def admin(pool) -> Client:
    client = Client()
    client.force_login(User.objects.create_user("ada", is_staff=True))
    return client


def post(client: Client, path: str, **body):
    return client.post(path, body, content_type="application/json")


@pytest.fixture
def running(job):
    Node.objects.update(heartbeat_at="2999-01-01T00:00Z")
    assert loop.schedule(job.pool) == 1
    return job


def test_a_node_shows_its_state_and_its_events(admin):
    post(admin, f"{NODE}/cordon", reason="odd noises", hours=2)
    node = admin.get(NODE).json()
    assert (node["admin_state"], node["admin_reason"], node["pool"]) == ("cordoned", "odd noises", "default")
    assert node["allocation"] == "idle"
    assert node["admin_until"] is not None
    assert [(e["kind"], e["actor"], e["text"]) for e in node["events"]] == [
        ("node.cordoned", "ada", "odd noises")
    ]


def test_nodes_come_by_name_and_in_pages(admin, pool):
    Node.objects.bulk_create(Node(id=f"n{n}", name=f"m{n}", pool=pool) for n in range(3))
    first = admin.get("/api/v1/nodes?limit=2").json()
    assert [node["id"] for node in first["items"]] == ["n0", "n1"]
    rest = admin.get(f"/api/v1/nodes?limit=2&offset={first['next_offset']}").json()
    assert [node["id"] for node in rest["items"]] == ["n2", "node-1"]
    assert admin.get("/api/v1/nodes?pool=other").json()["items"] == []


@pytest.mark.parametrize(
    ("verb", "body", "field", "expected"),
    [
        ("drain", {"policy": "finish"}, "reason", "A reason is needed"),
        ("drain", {"reason": "x"}, "policy", "Choose"),
        ("drain", {"reason": "x", "policy": "deadline"}, "hours", "A deadline needs a time"),
        ("drain", {"reason": "x", "policy": "sometime"}, "policy", "sometime"),
        ("cordon", {"reason": "x", "hours": -1}, "hours", "'-1.0' is not between"),
        ("cordon", {"reason": "x" * 301}, "reason", "301 characters; the limit is 300"),
    ],
)
def test_what_does_not_go_with_a_verb_is_refused_at_its_field(admin, verb, body, field, expected):
    answer = post(admin, f"{NODE}/{verb}", **body)
    assert answer.status_code == 422
    assert any(p["field"] == field and expected in p["message"] for p in answer.json()["problems"])
    assert Node.objects.get().admin_state == "open"


def test_a_drain_by_checkpoint_asks_for_the_devices_back(admin, running):
    answer = post(admin, f"{NODE}/drain", reason="BIOS", policy="checkpoint")
    assert answer.json()["admin_state"] == "draining"
    assert "BIOS" in running.attempts.get().yield_reason


def test_what_the_state_does_not_allow_is_refused_with_the_way_out(admin, running):
    answer = post(admin, f"{NODE}/maintenance", reason="new fan")
    assert answer.status_code == 409
    assert "drain it first" in answer.json()["detail"]


def test_there_are_no_other_verbs(admin):
    assert post(admin, f"{NODE}/explode", reason="x").status_code == 404


def test_a_device_is_marked_with_the_reason(admin):
    marked = post(admin, f"{NODE}/devices/cpu-0", health="failed", reason="smells").json()
    assert [d["health"] for d in marked["devices"]] == ["failed", "ok"]
    assert marked["events"][0]["device"] == "cpu-0"
    assert post(admin, f"{NODE}/devices/cpu-0", health="failed", reason="again").status_code == 409
    assert post(admin, f"{NODE}/devices/cpu-0", health="dead", reason="x").status_code == 422
    assert post(admin, f"{NODE}/devices/cpu-1", health="suspect").status_code == 422
    assert Device.objects.get(id="cpu-1").health == "ok"


def test_a_token_is_shown_once_listed_and_revoked(admin):
    made = post(admin, TOKENS, hours=2)
    assert made.status_code == 201
    text, token_id = made.json()["token"], made.json()["id"]
    listed = admin.get(TOKENS)
    assert text not in listed.text
    assert listed.json()["items"][0]["prefix"] == text[:8]
    assert admin.delete(f"{TOKENS}/{token_id}").json()["revoked_by"] == "ada"
    assert admin.delete(f"{TOKENS}/{token_id}").status_code == 409
    assert post(admin, TOKENS, hours=0).status_code == 422
    assert NodeToken.objects.count() == 1


def test_a_job_is_moved_and_given_a_priority_over_http(admin, client_of, job):
    owner = client_of("owner")
    answer = post(owner, f"/api/v1/jobs/{job.id}/move", where="front")
    assert answer.status_code == 409
    assert "is already at that position" in answer.json()["detail"]
    assert post(owner, f"/api/v1/jobs/{job.id}/priority", priority="low").json()["priority"] == "low"
    assert post(owner, f"/api/v1/jobs/{job.id}/priority", priority="high").status_code == 409
    assert post(owner, f"/api/v1/jobs/{job.id}/priority", priority="urgent").status_code == 422
    assert post(client_of("mate"), f"/api/v1/jobs/{job.id}/move", where="front").status_code == 409
