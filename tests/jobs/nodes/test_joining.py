"""Admission of nodes: one-time tokens, known folders, copied folders."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from fourwalls.system.readings import DeviceInfo
from jobs.models import Node, NodeEvent, NodeToken, Pool
from jobs.nodes import inventory, joining
from jobs.nodes.joining import JoinError
from jobs.states.jobs import StateError

pytestmark = pytest.mark.django_db


@pytest.fixture
def machine(monkeypatch) -> dict[str, str]:
    """The facts of the machine, to be changed by tests."""
    facts = {"hostname": "box", "machine_id": "m1", "boot_id": "b1"}
    monkeypatch.setattr(inventory, "node_facts", lambda: dict(facts))
    monkeypatch.setattr(inventory, "devices", lambda: [DeviceInfo("cpu-m1-0", "cpu", 0, "CPU", 2**30, 1.0)])
    return facts


@pytest.fixture
def elsewhere(settings, machine):
    """Settings of a node without the embedded broker."""
    settings.IS_BROKER_EMBEDDED = False
    return settings


def silence() -> None:
    Node.objects.update(heartbeat_at=timezone.now() - timedelta(hours=1))


def test_a_new_node_without_a_token_is_refused_with_a_way_out(elsewhere):
    with pytest.raises(JoinError, match=r"manage\.py node token default"):
        inventory.register(elsewhere.NODE_DIR)
    assert not Node.objects.exists()


def test_a_token_lets_one_node_into_its_pool_and_no_second_one(elsewhere, tmp_path):
    elsewhere.JOIN_TOKEN = joining.make_token("gpus", "tom")
    node = inventory.register(elsewhere.NODE_DIR)
    assert (node.pool.name, node.machine_id) == ("gpus", "m1")
    assert NodeToken.objects.get().node == node
    event = NodeEvent.objects.get(kind="node.joined")
    assert "made by tom" in event.text
    with pytest.raises(JoinError, match="unknown, used, revoked or expired"):
        inventory.register(tmp_path / "second")


def test_an_expired_token_is_refused(elsewhere):
    elsewhere.JOIN_TOKEN = joining.make_token("gpus", "tom", timedelta(seconds=-1))
    with pytest.raises(JoinError, match="expired"):
        inventory.register(elsewhere.NODE_DIR)


def test_a_revoked_token_is_refused_and_revoked_only_once(elsewhere):
    elsewhere.JOIN_TOKEN = joining.make_token("gpus", "tom")
    joining.revoke(NodeToken.objects.get(), "lena")
    with pytest.raises(JoinError, match="revoked"):
        inventory.register(elsewhere.NODE_DIR)
    with pytest.raises(StateError, match="used, expired or revoked already"):
        joining.revoke(NodeToken.objects.get(), "lena")
    assert NodeToken.objects.get().revoked_by == "lena"


def test_the_database_holds_neither_the_token_nor_the_key_of_the_node(elsewhere):
    token = elsewhere.JOIN_TOKEN = joining.make_token("gpus", "tom")
    inventory.register(elsewhere.NODE_DIR)
    key = (elsewhere.NODE_DIR / "node_secret").read_text()
    kept = str(list(NodeToken.objects.values())) + str(list(Node.objects.values()))
    assert token not in kept
    assert key not in kept
    assert (elsewhere.NODE_DIR / "node_secret").stat().st_mode & 0o077 == 0


def test_a_known_node_needs_no_token_again_and_stays_in_the_pool_of_its_token(elsewhere):
    elsewhere.JOIN_TOKEN = joining.make_token("gpus", "tom")
    first = inventory.register(elsewhere.NODE_DIR)
    elsewhere.NODE_POOL = "default"
    assert inventory.register(elsewhere.NODE_DIR).pool_id == first.pool_id


def test_the_agent_of_an_embedded_fourwalls_needs_no_token(machine, settings):
    assert inventory.register(settings.NODE_DIR).pool.name == "default"


def test_a_pool_may_be_open_to_every_node(elsewhere):
    Pool.objects.create(name="default", joins_freely=True)
    assert inventory.register(elsewhere.NODE_DIR).pool.name == "default"


def test_the_id_of_another_node_is_refused(machine, settings, tmp_path):
    node = inventory.register(settings.NODE_DIR)
    thief = tmp_path / "thief"
    thief.mkdir()
    (thief / "node_id").write_text(node.id)
    with pytest.raises(JoinError, match="another node"):
        inventory.register(thief)


def test_a_copied_folder_is_refused_while_the_original_lives(machine, settings):
    inventory.register(settings.NODE_DIR)
    machine["machine_id"] = "m2"
    with pytest.raises(JoinError, match="copy"):
        inventory.register(settings.NODE_DIR)


def test_a_moved_folder_is_the_same_node_and_an_event_records_the_move(machine, settings):
    first = inventory.register(settings.NODE_DIR)
    silence()
    machine["machine_id"] = "m2"
    assert inventory.register(settings.NODE_DIR).id == first.id
    assert NodeEvent.objects.filter(kind="node.moved").count() == 1


def test_a_restart_of_the_machine_is_recorded_once(machine, settings):
    for boot_id in ("b1", "b1", "b2"):
        machine["boot_id"] = boot_id
        inventory.register(settings.NODE_DIR)
    assert NodeEvent.objects.filter(kind="node.restarted").count() == 1


def test_a_retired_node_is_not_let_in_again(machine, settings):
    inventory.register(settings.NODE_DIR)
    Node.objects.update(admin_state="retired", admin_reason="sold")
    with pytest.raises(JoinError, match=r"retired \(sold\)"):
        inventory.register(settings.NODE_DIR)


def test_the_command_shows_a_token_once(db):
    out = StringIO()
    call_command("node", "token", "gpus", "--hours", "2", "--user", "tom", stdout=out)
    token = NodeToken.objects.get()
    assert out.getvalue().startswith(token.prefix)
    assert token.actor == "tom"
    assert timedelta(hours=1.9) < token.expires_at - timezone.now() < timedelta(hours=2)


def test_the_agent_prints_why_it_may_not_join(elsewhere):
    with pytest.raises(CommandError, match="needs a token"):
        call_command("agent")


def test_prepare_opens_the_pools_that_the_settings_name(db, settings, capsys):
    settings.FREE_POOLS = ["gpu"]
    call_command("prepare")
    assert Pool.objects.get().joins_freely
