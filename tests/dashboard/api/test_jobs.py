"""Jobs over HTTP."""

from __future__ import annotations

import json

import pytest

from jobs.lifecycle.transitions import move_job
from jobs.models import Job

JSON, YAML = "application/json", "application/yaml"


def submit(client, body, kind=JSON):
    return client.post("/api/v1/jobs", body if isinstance(body, str) else json.dumps(body), content_type=kind)


def test_a_spec_as_json_becomes_a_job_with_a_run(pool, client_of):
    answer = submit(client_of("owner"), {"name": "hello", "budget": {"steps": 30}})
    assert answer.status_code == 201
    body = answer.json()
    job = Job.objects.get()
    assert (body["id"], body["run"], body["state"]) == (job.id, job.run.id, "queued")
    assert (body["name"], body["num_steps"], body["team"], body["owner"]) == ("hello", 30, "blue", "owner")
    assert body["spec"]["budget"]["steps"] == 30
    assert body["url"] == f"/runs/{job.run.id}/"


def test_a_spec_as_yaml_becomes_the_same_job(pool, token_of):
    answer = submit(token_of("owner"), "name: hello\nbudget: {steps: 30}\n", YAML)
    assert answer.status_code == 201
    assert answer.json()["spec"]["budget"]["steps"] == 30


def test_an_impossible_spec_is_refused_at_its_fields_and_starts_nothing(pool, client_of):
    answer = submit(client_of("owner"), {"model": {"width": 100, "heads": 3}, "parallel": {"stages": 9}})
    assert answer.status_code == 422
    problems = {problem["field"]: problem for problem in answer.json()["problems"]}
    assert "model.heads" in problems and "parallel.stages" in problems
    assert problems["model.heads"]["fix"]["model.heads"] in (2, 4)
    assert answer.json()["detail"]
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ('{"name": ', JSON),
        ("[1, 2]", JSON),
        ("[" * 50_000, JSON),
        ('{"budget": {"steps": NaN}}', JSON),
        ('{"budget": {"steps": 1e400}}', JSON),
        ('{"nmae": "typo"}', JSON),
        ("name: [unclosed", YAML),
        ("a: &a [1]\nb: *a", YAML),
        ("\x00\xff", YAML),
        ("", JSON),
        ("x" * 100_000, JSON),
        ("x" * 10_000_000, JSON),
        ("x" * 10_000_000, YAML),
    ],
)
def test_what_is_no_spec_is_refused_with_a_sentence(pool, client_of, body, kind):
    answer = submit(client_of("owner"), body, kind)
    assert answer.status_code in (413, 422)
    assert len(answer.json()["detail"]) > 10
    assert not Job.objects.exists()


def test_jobs_are_listed_newest_first_and_page_by_page(pool, client_of):
    client = client_of("owner")
    for number in range(5):
        submit(client, {"name": f"job {number}"})
    first = client.get("/api/v1/jobs?limit=3").json()
    assert [job["name"] for job in first["items"]] == ["job 4", "job 3", "job 2"]
    rest = client.get(f"/api/v1/jobs?limit=3&offset={first['next_offset']}").json()
    assert [job["name"] for job in rest["items"]] == ["job 1", "job 0"]
    assert rest["next_offset"] is None


def test_jobs_are_listed_by_state(job, client_of):
    client = client_of("owner")
    assert len(client.get("/api/v1/jobs?state=queued").json()["items"]) == 1
    assert client.get("/api/v1/jobs?state=running").json()["items"] == []


def test_a_longer_list_costs_no_more_queries(pool, client_of, django_assert_num_queries):
    client = client_of("owner")
    submit(client, {})
    for more in (1, 5):
        with django_assert_num_queries(3):
            client.get("/api/v1/jobs")
        for _ in range(more):
            submit(client, {})


def test_cancel_and_retry(job, client_of):
    client = client_of("mate")
    answer = client.post(f"/api/v1/jobs/{job.id}/cancel?reason=Not+needed.")
    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    event = job.events.last()
    assert (event.actor, event.text) == ("mate", "Not needed.")
    answer = client.post(f"/api/v1/jobs/{job.id}/retry")
    assert (answer.status_code, answer.json()["state"]) == (200, "queued")


def test_pause_and_resume(job, client_of):
    client = client_of("mate")
    answer = client.post(f"/api/v1/jobs/{job.id}/pause?reason=Not+today.")
    assert (answer.status_code, answer.json()["state"], answer.json()["reason"]) == (
        200,
        "paused",
        "Not today.",
    )
    answer = client.post(f"/api/v1/jobs/{job.id}/resume")
    assert (answer.status_code, answer.json()["state"]) == (200, "queued")
    assert [event.actor for event in job.events.order_by("id")][1:] == ["mate", "mate"]
    assert client.post(f"/api/v1/jobs/{job.id}/resume").status_code == 409


def test_what_the_state_does_not_allow_is_refused_with_a_sentence(job, client_of):
    client = client_of("owner")
    assert client.post(f"/api/v1/jobs/{job.id}/retry").status_code == 409
    move_job(job.id, "cancelled", actor="owner")
    answer = client.post(f"/api/v1/jobs/{job.id}/cancel")
    assert answer.status_code == 409
    assert job.id in answer.json()["detail"]
