"""Shared fixtures: the users of a team, isolated folders and settings, and factories of rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core.cache import cache
from django.utils import timezone

from engine.spec.spec import Spec, parse, with_changes
from jobs.models import Device, Job, Membership, Node, Pool, Run, RunMetric, Team
from jobs.models.people import Role
from jobs.queue import job_actions
from tests.services import postgresql, redis_url  # noqa: F401  (fixtures)

SLOW = ("services", "ranks", "browser", "chaos", "slow")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run slow files first: the quick ones then balance the test processes at the end."""
    slow = {item.path for item in items if any(item.get_closest_marker(name) for name in SLOW)}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Use an SQLite file in WAL mode, like a running Fourwalls, so that threads and processes see real locks."""
    database = django_settings.DATABASES["default"]
    if "sqlite" in database["ENGINE"]:
        database["TEST"] = {
            **database.get("TEST", {}),
            "NAME": str(tmp_path_factory.mktemp("db") / "test.sqlite3"),
        }


@pytest.fixture(autouse=True)
def isolated_folders(settings: Any, tmp_path: Path) -> None:
    """Keep tests from writing to the folders of a Fourwalls of this checkout."""
    settings.NODE_DIR = tmp_path / "node"
    settings.DATA_DIR = tmp_path / "data"
    settings.ARTEFACT_ROOT = tmp_path / "artefacts"
    settings.CORPUS_ROOT = tmp_path / "corpora"


@pytest.fixture(scope="session")
def static_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("static")


@pytest.fixture(autouse=True)
def fast_settings(settings: Any, static_root: Path) -> None:
    settings.STATIC_ROOT = static_root
    # The real hasher deliberately takes a second per password.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def empty_cache() -> None:
    """Requests of other tests count for no rate limit."""
    cache.clear()


@pytest.fixture
def team(db: None) -> Team:
    return Team.objects.create(name="Research", slug="research")


@pytest.fixture
def other_team(db: None) -> Team:
    return Team.objects.create(name="Others", slug="others")


@pytest.fixture
def owner(team: Team) -> User:
    return _person("olga", team)


@pytest.fixture
def team_mate(team: Team) -> User:
    return _person("tom", team)


@pytest.fixture
def viewer(team: Team) -> User:
    """Member of the team who may read everything and change nothing."""
    return _person("vera", team, Role.VIEWER)


@pytest.fixture
def stranger(other_team: Team) -> User:
    return _person("sam", other_team)


@pytest.fixture
def pool(db: None) -> Pool:
    return Pool.objects.get_or_create(name="default")[0]


@pytest.fixture
def make_node(db: None) -> Callable[..., Node]:
    """make_node('a', devices=4, pool='default'): a node with a recent heartbeat."""

    def make(
        name: str = "a", devices: int = 2, pool: str = "default", kind: str = "cpu", **fields: Any
    ) -> Node:
        home = Pool.objects.get_or_create(name=pool)[0]
        node = Node.objects.create(
            id=f"node-{name}", name=name, pool=home, **{"heartbeat_at": timezone.now()} | fields
        )
        for index in range(devices):
            Device.objects.create(
                id=f"{name}-{index}", node=node, index=index, kind=kind, name=f"{kind} share",
                cores=1.0 if kind == "cpu" else None, memory_bytes=8 * 1024**3,
            )  # fmt: skip
        return node

    return make


@pytest.fixture
def node(make_node: Callable[..., Node]) -> Node:
    """One live node of the default pool with two CPU devices."""
    return make_node("a", devices=2)


@pytest.fixture
def make_spec() -> Callable[..., Spec]:
    """make_spec('model.layers=2', devices=4): the default spec with changes; `devices` sets data parallelism."""

    def make(*changes: str, devices: int | None = None, **values: Any) -> Spec:
        layout = []
        if devices is not None:
            layout = [f"parallel.data={devices}", f"batch.global_batch_size={8 * devices}"]
        return parse(with_changes({"name": "tiny", **values}, [*layout, *changes]))

    return make


@pytest.fixture
def make_job(owner: User, team: Team, node: Node, make_spec: Callable[..., Spec]) -> Callable[..., Job]:
    """make_job(devices=2): a job submitted through job_actions.submit, in a pool that has the node `node`."""

    def make(*changes: str, devices: int = 2, **values: Any) -> Job:
        return job_actions.submit(spec=make_spec(*changes, devices=devices, **values), team=team, owner=owner)

    return make


@pytest.fixture
def fabric_job(make_job: Callable[..., Job]) -> Callable[..., Job]:
    """fabric_job(budget__steps=4): a queued fabric test on two devices."""

    def make(**changes: Any) -> Job:
        more = [f"{path.replace('__', '.')}={value}" for path, value in changes.items()]
        return make_job("kind=fabric_test", "batch.global_batch_size=7", *more, devices=2)

    return make


@pytest.fixture
def give_metrics(db: None) -> Callable[..., None]:
    """give_metrics(run, loss=2.5): metric rows as the store writes them, without points. NaN is stored as NULL."""

    def give(run: Run, **values: float) -> None:
        for key, value in values.items():
            finite = (
                {"low": value, "high": value, "mean": value, "num_finite": 1} if math.isfinite(value) else {}
            )
            last = None if math.isnan(value) else value
            RunMetric.objects.create(run=run, key=key, last=last, last_at_us=1, count=1, **finite)

    return give


def _person(name: str, team: Team, role: str = Role.MEMBER) -> User:
    user = User.objects.create_user(name)
    Membership.objects.create(user=user, team=team, role=role)
    return user
