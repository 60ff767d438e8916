"""People of every role, a pool and a job."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from engine.spec.spec import Spec
from jobs.models import Device, Membership, Node, Pool, Sweep, Team
from jobs.people import api_tokens
from jobs.queue import job_actions, templates


@pytest.fixture
def pool(db):
    pool = Pool.objects.create(name="default")
    node = Node.objects.create(id="node-1", name="node-1", pool=pool)
    for index in range(2):
        Device.objects.create(id=f"cpu-{index}", node=node, index=index, kind="cpu", name="CPU", cores=1.0)
    return pool


@pytest.fixture
def cast(db):
    blue = Team.objects.create(name="blue", slug="blue")
    red = Team.objects.create(name="red", slug="red")
    found = {}
    for name, team, role in (
        ("owner", blue, "member"),
        ("mate", blue, "member"),
        ("viewer", blue, "viewer"),
        ("stranger", red, "member"),
    ):
        found[name] = User.objects.create_user(name)
        Membership.objects.create(user=found[name], team=team, role=role)
    return found


@pytest.fixture
def client_of(cast):
    def make(name: str, **options) -> Client:
        client = Client(**options)
        client.force_login(cast[name])
        return client

    return make


@pytest.fixture
def token_of(cast):
    """A client that sends a token of the person, for their first team or the named one."""

    def make(name: str, team: str | None = None) -> Client:
        teams = Team.objects.filter(memberships__user=cast[name])
        chosen = teams.get(slug=team) if team else teams.first()
        return Client(
            headers={"Authorization": f"Bearer {api_tokens.create_token(cast[name], chosen, 'script')}"}
        )

    return make


@pytest.fixture
def job(pool, cast):
    """Made from a template, as the only run of a sweep."""
    team, spec = Team.objects.get(slug="blue"), Spec(name="first")
    template = templates.save(team=team, name="first's", description="", spec=spec, actor="owner")
    sweep = Sweep.objects.create(
        team=team, owner=cast["owner"], name="first", spec=spec.model_dump(), rungs=[200],
        definition={"vary": {"seed": [1]}}, points=[{"seed": 1}],
    )  # fmt: skip
    return job_actions.submit(
        spec=spec, team=team, owner=cast["owner"], template=template, sweep=sweep, sweep_number=1
    )
