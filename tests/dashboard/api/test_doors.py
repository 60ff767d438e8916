"""Who may call the API, and that strangers learn nothing."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from jobs import datasets
from jobs.models import (
    ApiToken,
    Attempt,
    Checkpoint,
    Dataset,
    Deletion,
    Job,
    Membership,
    Node,
    NodeToken,
    Project,
    Run,
    Team,
    Trace,
    TraceFile,
)
from jobs.people import api_tokens
from jobs.tracking import artefacts, deletion, versions

READS = [
    "/api/v1/openapi.json",
    "/api/v1/jobs",
    "/api/v1/jobs/{job}",
    "/api/v1/runs",
    "/api/v1/runs/{run}",
    "/api/v1/runs/{run}/metrics",
    "/api/v1/runs/{run}/summary",
    "/api/v1/runs/{run}/media",
    "/api/v1/runs/{run}/media/entries?key=x",
    "/api/v1/runs/{run}/console",
    "/api/v1/runs/{run}/environment",
    "/api/v1/runs/{run}/series?metric=loss",
    "/api/v1/series?run={run}&metric=loss",
    "/api/v1/runs/{run}/logs",
    "/api/v1/runs/{run}/export",
    "/api/v1/runs/{run}/artefacts",
    "/api/v1/runs/{run}/artefacts/{artefact}",
    "/api/v1/runs/{run}/traces",
    "/api/v1/runs/{run}/traces/{trace}",
    "/api/v1/runs/{run}/timelines",
    "/api/v1/runs/{run}/verdict",
    "/api/v1/runs/{run}/health",
    "/api/v1/runs/{run}/ledger",
    "/api/v1/runs/{run}/checkpoints",
    "/api/v1/runs/{run}/checkpoints/{step}/files",
    "/api/v1/runs/{run}/lineage",
    "/api/v1/versions",
    "/api/v1/versions/find?name=weights",
    "/api/v1/pools",
    "/api/v1/accounting",
    "/api/v1/accuracy",
    "/api/v1/accuracy/figures",
    "/api/v1/profiles",
    "/api/v1/sweeps",
    "/api/v1/sweeps/{sweep}",
    "/api/v1/templates",
    "/api/v1/templates/{template}",
    "/api/v1/nodes",
    "/api/v1/nodes/node-1",
    "/api/v1/datasets",
    "/api/v1/datasets/{dataset}",
    "/api/v1/datasets/{dataset}/refused",
    "/api/v1/projects",
    "/api/v1/projects/{project}",
    "/api/v1/bin",
    "/api/v1/bin/{deletion}",
]
# What the writer of a run reports
REPORTED = (
    "points",
    "writers",
    "params",
    "tags",
    "heartbeat",
    "start",
    "finish",
    "missing",
    "clock",
    "hosts",
    "media",
    "console",
    "environment",
    "alerts",
    "versions",
)
WRITES = [
    ("post", "/api/v1/jobs"),
    *[
        ("post", f"/api/v1/jobs/{{job}}/{action}")
        for action in ("cancel", "retry", "pause", "resume", "extend", "restart")
    ],
    *[("post", f"/api/v1/jobs/{{job}}/{action}") for action in ("move", "priority", "trace", "layout")],
    *[("post", f"/api/v1/sweeps{rest}") for rest in ("", "/preview")],
    *[("post", f"/api/v1/sweeps/{{sweep}}/{action}") for action in ("pause", "resume", "cancel")],
    ("post", "/api/v1/templates"),
    ("patch", "/api/v1/templates/{template}"),
    ("delete", "/api/v1/templates/{template}"),
    ("post", "/api/v1/runs"),
    ("patch", "/api/v1/runs/{run}"),
    ("put", "/api/v1/runs/{run}/artefacts?path=x"),
    *[("post", f"/api/v1/runs/{{run}}/{what}") for what in REPORTED],
    ("post", "/api/v1/runs/{run}/verdict/check"),
    ("post", "/api/v1/datasets?file_name=x.txt"),
    ("post", "/api/v1/datasets/{dataset}/keep"),
    ("delete", "/api/v1/datasets/{dataset}"),
    ("delete", "/api/v1/runs/{run}"),
    *[("post", path) for path in ("/api/v1/projects", "/api/v1/projects/move", "/api/v1/bin")],
    *[(method, "/api/v1/projects/{project}") for method in ("patch", "delete")],
    ("post", "/api/v1/bin/{deletion}/restore"),
]
# For admins; to everybody else there is no such thing.
GOVERNS = [
    ("post", "/api/v1/nodes/node-1/cordon", {"reason": "x"}),
    ("post", "/api/v1/nodes/node-1/devices/cpu-0", {"health": "suspect", "reason": "x"}),
    ("get", "/api/v1/pools/default/tokens", None),
    ("post", "/api/v1/pools/default/tokens", {"hours": 1}),
    ("delete", "/api/v1/pools/default/tokens/1", None),
]


def _artefact_of(run):
    found = artefacts.find(run, "notes.txt") or artefacts.save(run, "notes.txt", [b"hello"], actor="olga")
    return found.id


def _make_version(run):
    if not run.artefact_versions.exists():
        versions.create(run, name="weights", digest="d", prefix="v", files=[], actor="olga")


def _dataset_of(job):
    found = Dataset.objects.filter(team=job.team).first()
    given = {"name": "words", "file_name": "words.txt", "licence": "", "chunks": [b"one\ntwo\n"]}
    return (found or datasets.store_upload(team=job.team, owner=job.owner, **given)).id


def _checkpoint_of(job):
    node = Node.objects.get()
    attempt, _ = Attempt.objects.get_or_create(job=job, node=node, number=1, defaults={"state": "stopped"})
    folder = Path(settings.ARTEFACT_ROOT) / "step-00000007"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text("{}")
    given = {"run": job.run, "path": str(folder), "saved_at": timezone.now()}
    return Checkpoint.objects.get_or_create(attempt=attempt, step=7, defaults=given)[0].step


def _trace_of(job):
    node = Node.objects.get()
    attempt, _ = Attempt.objects.get_or_create(job=job, node=node, number=1, defaults={"state": "stopped"})
    trace, _ = Trace.objects.get_or_create(
        attempt=attempt, number=1, defaults={"num_steps": 1, "ranks": [0], "asked_at": timezone.now()}
    )
    given = {"node": node, "name": "rank0.json.gz", "first_step": 7, "size_bytes": 0}
    return TraceFile.objects.get_or_create(trace=trace, rank=0, defaults=given)[0].id


def _project_of(job):
    return Project.objects.get_or_create(team=job.team, name="vision")[0].id


def _deletion_of(job):
    found = Deletion.objects.filter(team=job.team).first()
    if found is None:
        row = Run.objects.create(team=job.team, owner=job.owner, name="deleted", state="finished")
        (found,) = deletion.delete_runs(Run.objects.filter(id=row.id), actor="olga")
    return found.id


def at(path, job):
    artefact = _artefact_of(job.run)
    _make_version(job.run)
    if "ledger" in path:  # is there once the job has held a device
        _trace_of(job)
        Attempt.objects.filter(job=job).update(assigned_at=timezone.now(), ended_at=timezone.now())
        type(job).objects.filter(id=job.id).update(attempt_number=1)
    return path.format(
        job=job.id,
        run=job.run.id,
        template=job.template_id,
        sweep=job.sweep_id,
        artefact=artefact,
        step=_checkpoint_of(job) if "{step}" in path else 0,
        trace=_trace_of(job) if "{trace}" in path else 0,
        dataset=_dataset_of(job) if "{dataset}" in path else "",
        project=_project_of(job) if "{project}" in path else 0,
        deletion=_deletion_of(job) if "{deletion}" in path else 0,
    )


def write(client, method, path, job):
    """The smallest body that each takes."""
    bodies = {"templates": {"name": "x", "spec": {}}, "writers": {"stream": "x"}, "params": {"params": {}},
              "clock": {"stream": "x", "began_at": 1, "at": 2, "seconds": {"step": 1}}, "hosts": {"name": "box"},
              "missing": {"source": "run", "missing": {}}}  # fmt: skip
    bodies |= {"}/move": {"where": "front"}, "priority": {"priority": "low"}, "media": {"entries": []},
               "console": {"first": 0, "lines": []}, "alerts": {"title": "x"},
               "projects/move": {"runs": [job.run.id]}, "projects": {"name": "x"}, "v1/bin": {"runs": [job.run.id]},
               "versions": {"name": "x", "prefix": "x", "digest": "x"}}  # fmt: skip
    body = next((body for word, body in bodies.items() if word in path), {})
    return getattr(client, method)(at(path, job), json.dumps(body), content_type="application/json")


@pytest.mark.parametrize("path", READS)
def test_reading_needs_a_login_and_refuses_in_json(path, job):
    answer = Client().get(at(path, job))
    assert answer.status_code == 401
    assert "Log in" in answer.json()["detail"]


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_writing_needs_a_login(method, path, job):
    assert write(Client(), method, path, job).status_code == 401


@pytest.mark.parametrize("path", READS)
def test_a_session_and_a_token_open_the_same_doors(path, job, client_of, token_of):
    for caller in (client_of("mate"), token_of("mate")):
        assert caller.get(at(path, job)).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"), [row for row in [*(("get", path) for path in READS), *WRITES] if "{" in row[1]]
)
def test_a_stranger_finds_nothing(method, path, job, client_of, token_of):
    for stranger in (client_of("stranger"), token_of("stranger")):
        answer = stranger.get(at(path, job)) if method == "get" else write(stranger, method, path, job)
        assert answer.status_code == 404
        assert job.name not in answer.content.decode()


def test_a_strangers_lists_are_empty(job, client_of):
    for path in ("/api/v1/jobs", "/api/v1/runs", "/api/v1/templates"):
        assert client_of("stranger").get(path).json()["items"] == []


def test_every_operation_is_tried_above(job, client_of):
    operations = {
        (method, path)
        for path, methods in client_of("owner").get("/api/v1/openapi.json").json()["paths"].items()
        for method in methods
    }
    with_ids = ("job", "run", "sweep", "template", "artefact", "trace", "dataset", "project", "deletion")
    names = {f"{{{name}}}": f"{{{name}_id}}" for name in with_ids}
    names |= {"node-1/cordon": "{node_id}/{verb}", "node-1": "{node_id}", "cpu-0": "{device_id}"}
    names |= {"pools/default": "pools/{name}", "tokens/1": "tokens/{token_id}"}
    tried = {("get", path) for path in READS[1:]} | set(WRITES)
    tried = {(method, path.partition("?")[0]) for method, path in tried}
    tried |= {(method, path) for method, path, _ in GOVERNS}
    for short, full in names.items():
        tried = {(method, path.replace(short, full)) for method, path in tried}
    assert operations == tried


@pytest.mark.parametrize(("method", "path", "body"), GOVERNS)
def test_only_admins_govern_nodes(method, path, body, job, client_of, token_of):
    assert getattr(Client(), method)(path).status_code == 401
    for caller in (client_of("owner"), client_of("viewer"), token_of("stranger")):
        answer = getattr(caller, method)(path, body, content_type="application/json")
        assert answer.status_code == 404
    assert Node.objects.get().admin_state == "open"
    assert not NodeToken.objects.exists()


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_a_session_must_show_its_csrf_token(method, path, job, client_of):
    answer = write(client_of("owner", enforce_csrf_checks=True), method, path, job)
    assert answer.status_code == 403
    assert "CSRF" in answer.json()["detail"]
    assert Job.objects.get().state == "queued"


def test_a_token_needs_no_csrf_token(job, cast):
    raw = api_tokens.create_token(cast["owner"], Team.objects.get(slug="blue"), "script")
    caller = Client(enforce_csrf_checks=True, headers={"Authorization": f"Bearer {raw}"})
    assert caller.post(f"/api/v1/jobs/{job.id}/cancel").status_code == 200


def test_a_wrong_token_is_refused_even_beside_a_good_session(job, client_of):
    answer = client_of("owner").get("/api/v1/jobs", headers={"Authorization": "Bearer fw_wrong"})
    assert answer.status_code == 401
    assert "not known" in answer.json()["detail"]


def test_an_expired_token_is_refused(job, token_of):
    caller = token_of("owner")
    ApiToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert caller.get("/api/v1/jobs").status_code == 401


def test_a_token_acts_in_its_own_team_only(job, cast, token_of):
    red = Team.objects.get(slug="red")
    Membership.objects.create(user=cast["owner"], team=red)
    caller = token_of("owner", team="red")
    assert caller.get("/api/v1/jobs").json()["items"] == []
    assert caller.get(f"/api/v1/jobs/{job.id}").status_code == 404
    assert caller.post("/api/v1/jobs?team=blue", "{}", content_type="application/json").status_code == 404


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_who_may_only_look_cannot_change_anything(method, path, job, client_of):
    answer = write(client_of("viewer"), method, path, job)
    assert answer.status_code == 404
    assert Job.objects.get().state == "queued"


def test_an_address_that_does_not_exist_is_no_page_of_the_api(client_of):
    assert client_of("owner").get("/api/v1/nothing").status_code == 404


def test_an_admin_opens_every_teams_job_by_its_id_and_lists_only_their_own(job, cast, client_of, token_of):
    User.objects.filter(id=cast["stranger"].id).update(is_staff=True)
    session, token = client_of("stranger"), token_of("stranger")
    for path in (
        f"/api/v1/jobs/{job.id}",
        f"/api/v1/runs/{job.run.id}",
        f"/api/v1/series?run={job.run.id}&metric=loss",
    ):
        assert session.get(path).status_code == 200
        assert token.get(path).status_code == 404
    assert session.get("/api/v1/jobs").json()["items"] == []
    assert token.post(f"/api/v1/jobs/{job.id}/cancel").status_code == 404
    assert session.post(f"/api/v1/jobs/{job.id}/cancel").status_code == 200
