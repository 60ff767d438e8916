"""Who may see, open and write what: every model for every role, and the same answer at every door."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models import Model
from django.http import Http404
from django.test import Client

from dashboard.access import RULES, Scope
from engine.spec.spec import Spec
from jobs import datasets
from jobs.models import (
    Dataset,
    Deletion,
    Job,
    Membership,
    Project,
    Report,
    Run,
    SavedModel,
    SavedView,
    Sweep,
    Team,
    Template,
)
from jobs.models.people import Role
from jobs.people import sharing
from jobs.people.api_tokens import create_token
from jobs.queue import templates
from jobs.tracking import deletion, external_runs, projects, saved_models

API, ML = "/api/v1", "/api/2.0/mlflow"
NOTHING, LOOKS, WRITES, BY_ID = (
    (False, False, False),
    (True, True, False),
    (True, True, True),
    (False, True, True),
)
# What each role may do with an object of the team: see it in lists, open it by its id, write it.
SESSIONS = {"stranger": NOTHING, "viewer": LOOKS, "member": WRITES, "lead": WRITES, "admin": BY_ID}
TOKENS = {
    "stranger": NOTHING,
    "viewer": LOOKS,
    "member": WRITES,
    "lead": WRITES,
    "admin": NOTHING,  # a token acts in its team, whoever it belongs to
    "member for another team": NOTHING,
}
ROLES = [*(("session", role) for role in SESSIONS), *(("token", role) for role in TOKENS)]
OPEN_TO_ADMINS = {Job, Run, Sweep, SavedView, Report}


def expected(model: type[Model], kind: str, role: str) -> tuple[bool, bool, bool]:
    if kind == "session" and role == "admin" and model not in OPEN_TO_ADMINS:
        return NOTHING
    return (SESSIONS if kind == "session" else TOKENS)[role]


@dataclass
class Cast:
    people: dict[str, User]
    team: Team
    other: Team

    def scope(self, kind: str, role: str) -> Scope:
        person = self.people[role.split()[0]]
        return Scope(person) if kind == "session" else Scope(person, self.team_of_token(role))

    def team_of_token(self, role: str) -> Team:
        return self.other if role in ("stranger", "admin", "member for another team") else self.team

    def client(self, kind: str, role: str) -> Client:
        person = self.people[role.split()[0]]
        if kind == "session":
            client = Client()
            client.force_login(person)
            return client
        token = create_token(person, self.team_of_token(role), "test")
        return Client(headers={"Authorization": f"Bearer {token}"})


@pytest.fixture
def cast(team, other_team) -> Cast:
    people = {name: User.objects.create_user(name) for name in SESSIONS}
    for name, role in (("viewer", Role.VIEWER), ("member", Role.MEMBER), ("lead", Role.LEAD)):
        Membership.objects.create(user=people[name], team=team, role=role)
    for name in ("stranger", "admin", "member"):
        Membership.objects.create(user=people[name], team=other_team, role=Role.MEMBER)
    User.objects.filter(id=people["admin"].id).update(is_staff=True)
    people["admin"].refresh_from_db()
    return Cast(people, team, other_team)


@pytest.fixture
def objects(team, owner, make_job) -> dict[type[Model], Any]:
    """One of each model, of the team."""
    spec = Spec(name="zebra")
    job = make_job(name="zebra")
    run = external_runs.create(team=team, owner=owner, name="zebra", origin="test")
    sweep = Sweep.objects.create(
        team=team, owner=owner, name="zebra", spec=spec.model_dump(), rungs=[200],
        definition={"vary": {"seed": [1]}}, points=[{"seed": 1}],
    )  # fmt: skip
    deleted = external_runs.create(team=team, owner=owner, name="zebra", origin="test")
    external_runs.set_state(deleted, "succeeded", actor="olga")
    content = {"name": "zebra", "file_name": "zebra.txt", "licence": "", "chunks": [b"one\ntwo\n"]}
    return {
        Job: job,
        Run: run,
        Sweep: sweep,
        Template: templates.save(team=team, name="zebra", description="", spec=spec, actor="olga"),
        Dataset: datasets.store_upload(team=team, owner=owner, **content),
        SavedView: sharing.save_view(team=team, owner=owner, page="runs", name="zebra", query="filter=a"),
        Report: sharing.create_report(team=team, owner=owner, title="zebra", text="Text."),
        Project: projects.create(team, "zebra", actor="olga"),
        Deletion: deletion.delete_runs(Run.objects.filter(id=deleted.id), actor="olga")[0],
        SavedModel: saved_models.create(run, "zebra", kind="", params={}, tags={}, actor="olga"),
    }


def test_every_model_has_its_rule(objects):
    assert set(objects) == set(RULES)
    assert {model for model, rule in RULES.items() if rule.is_open_to_admins} == OPEN_TO_ADMINS


@pytest.mark.parametrize(("kind", "role"), ROLES)
def test_the_scope_decides_as_the_table_says(kind, role, cast, objects):
    for model, row in objects.items():
        scope = cast.scope(kind, role)
        found = (
            scope.seen(model).filter(id=row.id).exists(),
            scope.find(model, row.id) == row,
            can_write(scope, model, row),
        )
        assert found == expected(model, kind, role), model
        is_in_lists_to_change = scope.writable(model).filter(id=row.id).exists()
        assert is_in_lists_to_change == (found[0] and found[2]), model


def can_write(scope: Scope, model: type[Model], row: Model) -> bool:
    try:
        return scope.get_writable(model, row.pk) == row
    except Http404:
        return False


@pytest.mark.parametrize("model", RULES)
def test_unknown_and_foreign_are_both_404(model, cast, objects):
    scope = cast.scope("session", "stranger")
    for row_id in (objects[model].id, 0 if model in (Project, Deletion) else "0" * 12):
        with pytest.raises(Http404):
            scope.get(model, row_id)
        with pytest.raises(Http404):
            scope.get_writable(model, row_id)


# The doors. Each takes a client and the row; the first tells whether a list shows the row.
See = Callable[[Client, Any], bool]
Reach = Callable[[Client, Any], Any]


@dataclass
class Door:
    kinds: tuple[str, ...]
    see: See | None = None
    open: Reach | None = None
    write: Reach | None = None


def in_json(address: str) -> See:
    return lambda client, row: row.id in [one["id"] for one in client.get(address).json()["items"]]


def on_page(address: str) -> See:
    """The page shows the row's own address, or the name that only this row has."""
    return lambda client, row: "zebra" in client.get(address).text


def get(address: str) -> Reach:
    return lambda client, row: client.get(address.format(id=row.id))


def post(address: str, **fields: str) -> Reach:
    return lambda client, row: client.post(address.format(id=row.id), fields)


def send(method: str, address: str, **body: Any) -> Reach:
    def reach(client: Client, row: Any) -> Any:
        filled = {key: str(row.id) if value == "{id}" else value for key, value in body.items()}
        text = json.dumps(filled)
        return getattr(client, method)(address.format(id=row.id), text, content_type="application/json")

    return reach


def in_search(address: str, name: str, key: Callable[[Any], str], **body: Any) -> See:
    def sees(client: Client, row: Any) -> bool:
        reply = send("post", f"{ML}/{address}", **body)(client, row).json()
        return str(row.id) in [key(one) for one in reply.get(name, [])]

    return sees


BOTH, SESSION, TOKEN = ("session", "token"), ("session",), ("token",)
CHANGED = {"note": "changed"}
DOORS: dict[type[Model], dict[str, Door]] = {
    Job: {
        "pages": Door(SESSION, on_page("/jobs/"), None, post("/jobs/{id}/pause/")),
        "api": Door(BOTH, in_json(f"{API}/jobs"), get(f"{API}/jobs/{{id}}"), send("post", f"{API}/jobs/{{id}}/pause")),
    },
    Run: {
        "pages": Door(SESSION, on_page("/runs/"), get("/runs/{id}/"), post("/runs/{id}/change/", **CHANGED)),
        "api": Door(
            BOTH, in_json(f"{API}/runs"), get(f"{API}/runs/{{id}}"), send("patch", f"{API}/runs/{{id}}", **CHANGED)
        ),
        "mlflow": Door(
            TOKEN,
            in_search("runs/search", "runs", lambda one: one["info"]["run_id"], experiment_ids=["0"]),
            get(f"{ML}/runs/get?run_id={{id}}"),
            send("post", f"{ML}/runs/set-tag", run_id="{id}", key="a", value="b"),
        ),
    },
    Sweep: {
        "pages": Door(SESSION, on_page("/sweeps/"), get("/sweeps/{id}/"), post("/sweeps/{id}/pause/")),
        "api": Door(
            BOTH, in_json(f"{API}/sweeps"), get(f"{API}/sweeps/{{id}}"), send("post", f"{API}/sweeps/{{id}}/pause")
        ),
    },
    Template: {
        "pages": Door(SESSION, write=post("/templates/{id}/change/", source="yaml", yaml="", template_name="zebra")),
        "api": Door(
            BOTH, in_json(f"{API}/templates"), get(f"{API}/templates/{{id}}"),
            send("patch", f"{API}/templates/{{id}}", description="changed"),
        ),
    },
    Dataset: {
        "pages": Door(SESSION, on_page("/data/"), get("/data/{id}/"), post("/data/{id}/change/", name="zebra")),
        "api": Door(
            BOTH, in_json(f"{API}/datasets"), get(f"{API}/datasets/{{id}}"), send("post", f"{API}/datasets/{{id}}/keep")
        ),
    },
    SavedView: {
        "pages": Door(
            SESSION, on_page("/runs/?page=1"), get("/v/{id}/"), post("/v/{id}/change/", query="a=b")
        ),
    },
    Report: {
        "pages": Door(
            SESSION, on_page("/reports/"), get("/reports/{id}/"), post("/reports/{id}/change/", title="zebra")
        ),
    },
    Deletion: {
        "pages": Door(SESSION, on_page("/projects/bin/"), None, post("/projects/bin/{id}/restore/")),
        "api": Door(
            BOTH, in_json(f"{API}/bin"), get(f"{API}/bin/{{id}}"), send("post", f"{API}/bin/{{id}}/restore")
        ),
    },
    Project: {
        "pages": Door(
            SESSION, on_page("/projects/"), get("/projects/{id}/"), post("/projects/{id}/change/", note="changed")
        ),
        "api": Door(
            BOTH, in_json(f"{API}/projects"), get(f"{API}/projects/{{id}}"),
            send("patch", f"{API}/projects/{{id}}", note="changed"),
        ),
        "mlflow": Door(
            TOKEN,
            in_search("experiments/search", "experiments", lambda one: one["experiment_id"]),
            get(f"{ML}/experiments/get?experiment_id={{id}}"),
            send("post", f"{ML}/experiments/set-experiment-tag", experiment_id="{id}", key="a", value="b"),
        ),
    },
    SavedModel: {
        "mlflow": Door(
            TOKEN,
            in_search("logged-models/search", "models", lambda one: one["info"]["model_id"], experiment_ids=["0"]),
            get(f"{ML}/logged-models/{{id}}"),
            send("patch", f"{ML}/logged-models/{{id}}/tags", tags=[{"key": "a", "value": "b"}]),
        ),
    },
}  # fmt: skip


def is_reached(reply: Any) -> bool:
    """A refusal for another reason than who asks (409, 422) has reached the object."""
    assert reply.status_code < 500
    return reply.status_code not in (401, 403, 404)


def test_every_model_has_a_door():
    assert set(DOORS) == set(RULES)


@pytest.mark.parametrize(("kind", "role"), ROLES)
@pytest.mark.parametrize("model", RULES, ids=lambda model: model.__name__)
def test_every_door_decides_as_the_table_says(model, kind, role, cast, objects):
    row, client = objects[model], cast.client(kind, role)
    if model is not SavedView:  # its name must be the only one on the page of runs
        SavedView.objects.all().delete()
    else:
        Run.objects.update(name="other")
    for name, door in DOORS[model].items():
        if kind not in door.kinds:
            continue
        may_see, may_open, may_write = expected(model, kind, role)
        if door.see:
            assert door.see(client, row) == may_see, (name, "see")
        if door.open:
            assert is_reached(door.open(client, row)) == may_open, (name, "open")
        if door.write:
            assert is_reached(door.write(client, row)) == may_write, (name, "write")


def test_scopes_are_built_in_two_modules_and_pages_know_nothing_of_the_apis():
    root = Path(__file__).resolve().parents[2] / "dashboard"
    builders, wrong = set(), []
    for path in root.rglob("*.py"):
        name = str(path.relative_to(root))
        tree = ast.parse(path.read_text())
        builders |= {
            name for node in ast.walk(tree) if isinstance(node, ast.Call) and called(node) == "Scope"
        }
        imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)} | {
            alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
        }
        if name.startswith(("pages/", "charts/", "html/", "files/", "live/", "server/", "templatetags/")):
            wrong += [
                (name, one) for one in imported if one.startswith(("dashboard.api", "dashboard.mlflow"))
            ]
    assert builders == {"access.py", "callers.py"}
    assert not wrong


def called(node: ast.Call) -> str:
    return getattr(node.func, "id", "")
