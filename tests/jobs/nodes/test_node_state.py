"""One word for the state of a node, the same on every page, in the API and on the command line."""

from __future__ import annotations

import itertools
import re
from datetime import timedelta

import pytest
from django.utils import timezone

from dashboard.html.badges import NODE_BADGES
from jobs.nodes.heartbeat import current_state
from jobs.states.nodes import AdminState, Health, describe_node

pytestmark = pytest.mark.django_db
CASES = list(itertools.product(AdminState.values, Health.values, (False, True)))


@pytest.mark.parametrize(("admin_state", "health", "is_silent"), CASES)
def test_every_state_has_one_word_and_a_badge(admin_state, health, is_silent):
    word = describe_node(admin_state, health, is_silent=is_silent)
    assert word in NODE_BADGES
    is_away = is_silent or health in (Health.UNREACHABLE, Health.FAILED, Health.STOPPED)
    if admin_state == AdminState.RETIRED:
        assert word == "retired"
    elif is_away:
        assert word in ("unreachable", "failed", "stopped")
    else:
        assert (word == "ready") == (admin_state == AdminState.OPEN and health == Health.OK)


@pytest.mark.parametrize(("admin_state", "health", "is_silent"), CASES)
def test_pages_the_map_and_the_api_use_the_same_word(
    admin_state, health, is_silent, make_node, owner, client
):
    at = timezone.now() - timedelta(hours=1) if is_silent else timezone.now()
    node = make_node("a", admin_state=admin_state, health=health, heartbeat_at=at)
    word = current_state(node, timezone.now())
    client.force_login(owner)
    assert client.get(f"/api/v1/nodes/{node.id}").json()["state"] == word
    head = client.get(f"/nodes/{node.id}/").text.partition("</h1>")[2].partition("</header>")[0]
    badge = re.sub(r"<[^>]+>", " ", head.partition("badge-state")[2].partition("</span>")[0])
    assert badge.split()[-1] == word
    shown = client.get("/pools/map/").json()["nodes"]["state"]
    assert shown == ([] if admin_state == AdminState.RETIRED else ["open" if word == "ready" else word])
