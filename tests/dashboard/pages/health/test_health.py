"""Health endpoints: what each fault does to them, and what a stranger learns."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import OperationalError
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.utils import timezone

from dashboard.pages.health import views
from dashboard.server import readiness
from jobs.models import ComponentHeartbeat

pytestmark = pytest.mark.django_db


@pytest.fixture
def broker(monkeypatch):
    """A broker that answers, or raises what is put into `error`."""
    state = SimpleNamespace(error=None)

    def ping() -> bool:
        if state.error:
            raise state.error
        return True

    monkeypatch.setattr(readiness, "_connect_broker", lambda url: SimpleNamespace(ping=ping))
    return state


@pytest.fixture(autouse=True)
def all_well(broker, monkeypatch, settings, tmp_path):
    settings.HOME_DIR = tmp_path
    monkeypatch.setattr(views, "_last", (-views.KEPT_S, []))
    ComponentHeartbeat.objects.create(component="scheduler", at=timezone.now())


def test_a_process_that_answers_is_alive_even_without_a_database(monkeypatch):
    monkeypatch.setattr(readiness, "check_all", lambda: pytest.fail("healthz reads nothing"))
    reply = Client().get("/healthz")
    assert (reply.status_code, reply.text) == (200, "ok\n")


def test_all_checks_pass_without_an_account():
    reply = Client().get("/readyz")
    names = ("database", "migrations", "scheduler", "broker", "disk")
    assert reply.status_code == 200
    assert reply.json() == {"ready": True, "checks": {name: {"ok": True} for name in names}}
    assert "no-store" in reply["Cache-Control"]


def _break_database(monkeypatch, **_) -> None:
    def fail() -> str:
        raise OperationalError("connection refused: password=secret")

    monkeypatch.setattr(readiness, "_find_database_problem", fail)


def _break_migrations(**_) -> None:
    MigrationRecorder.Migration.objects.filter(app="jobs").order_by("-id").first().delete()


def _break_scheduler(**_) -> None:
    ComponentHeartbeat.objects.update(at=timezone.now() - timedelta(seconds=readiness.SCHEDULER_S + 1))


def _break_broker(broker, **_) -> None:
    broker.error = readiness.redis.ConnectionError("Error 111 connecting to secret-host:6379")


def _break_disk(settings, **_) -> None:
    settings.DISK_RESERVE_BYTES = 2**62


BREAKS = {
    "database": _break_database, "migrations": _break_migrations, "scheduler": _break_scheduler,
    "broker": _break_broker, "disk": _break_disk,
}  # fmt: skip


@pytest.mark.parametrize("name", BREAKS)
def test_each_fault_is_named_and_its_reason_is_for_admins(name, monkeypatch, broker, settings, admin_client):
    BREAKS[name](monkeypatch=monkeypatch, broker=broker, settings=settings)
    reply = Client().get("/readyz")
    assert reply.status_code == 503
    failed = {key for key, check in reply.json()["checks"].items() if not check["ok"]}
    assert failed == ({"database", "migrations", "scheduler"} if name == "database" else {name})
    assert "secret" not in reply.text and "problem" not in reply.text
    shown = admin_client.get("/readyz").json()["checks"][name]
    assert ("problem" in shown) == (name != "database")  # without a database there are no admins


def test_many_askers_cost_one_check_a_second(monkeypatch):
    calls = []
    monkeypatch.setattr(readiness, "check_all", lambda: calls.append(1) or [readiness.Check("database", "")])
    for _ in range(20):
        Client().get("/readyz")
    assert len(calls) <= 2


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_they_take_no_other_method(path):
    assert Client().post(path).status_code == 405
