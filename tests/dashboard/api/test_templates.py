"""Templates over HTTP, and jobs made from them or from another run."""

from __future__ import annotations

import pytest

from jobs.models import Job, Template

JSON = {"content_type": "application/json"}
API = "/api/v1/templates"


@pytest.fixture
def template(pool, client_of) -> dict:
    body = {"name": "small", "description": "To try", "spec": {"model": {"layers": 2}}}
    answer = client_of("owner").post(API, body, **JSON)
    assert answer.status_code == 201
    return answer.json()


def test_it_is_saved_read_changed_and_deleted(template, client_of):
    mate = client_of("mate")
    assert mate.get(f"{API}/{template['id']}").json()["spec"]["model"]["layers"] == 2
    change = {"description": "Better", "version": 1}
    changed = mate.patch(f"{API}/{template['id']}", change, **JSON).json()
    assert (changed["version"], changed["changed_by"], changed["name"]) == (2, "mate", "small")
    assert mate.patch(f"{API}/{template['id']}", change, **JSON).status_code == 409
    assert mate.get(API).json()["items"][0]["description"] == "Better"
    assert mate.delete(f"{API}/{template['id']}").status_code == 204
    assert not Template.objects.exists()


def test_a_job_is_made_from_it_with_changes(template, client_of):
    client = client_of("mate")
    answer = client.post(f"/api/v1/jobs?template={template['id']}", {"model": {"width": 64}}, **JSON)
    assert answer.status_code == 201, answer.content
    model = answer.json()["spec"]["model"]
    assert (answer.json()["template"], model["layers"], model["width"]) == (template["id"], 2, 64)
    assert client.post(f"/api/v1/jobs?template={template['id']}", {}, **JSON).status_code == 201


def test_a_run_is_cloned_with_changes(job, client_of):
    answer = client_of("mate").post(f"/api/v1/jobs?clone={job.run.id}", {"seed": 9}, **JSON)
    assert answer.status_code == 201, answer.content
    assert (answer.json()["cloned_from"], answer.json()["spec"]["seed"]) == (job.run.id, 9)


def test_what_is_no_template_is_refused_at_its_field(pool, client_of):
    answer = client_of("owner").post(API, {"name": " ", "spec": {}}, **JSON)
    assert answer.status_code == 422 and answer.json()["problems"][0]["field"] == "template_name"
    answer = client_of("owner").post(API, {"name": "x", "spec": {"modle": 1}}, **JSON)
    assert "Did you mean 'model'" in answer.json()["detail"]


def test_viewers_and_strangers_change_nothing(template, job, client_of, token_of):
    for who in (client_of("viewer"), client_of("stranger"), token_of("stranger")):
        assert who.patch(f"{API}/{template['id']}", {"name": "mine"}, **JSON).status_code == 404
        assert who.delete(f"{API}/{template['id']}").status_code == 404
    before = Job.objects.count()
    stranger = client_of("stranger")
    assert stranger.get(f"{API}/{template['id']}").status_code == 404
    assert stranger.get(API).json()["items"] == []
    assert stranger.post(f"/api/v1/jobs?template={template['id']}").status_code == 404
    assert stranger.post(f"/api/v1/jobs?clone={job.run.id}").status_code == 404
    assert Job.objects.count() == before
