"""Actions on a node: when they are open, and what they need."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command

from jobs.models import Node
from jobs.nodes import admin, joining
from jobs.scheduler.node_actions import ACTIONS, perform
from jobs.states.jobs import StateError
from jobs.states.nodes import ADMIN_MOVES, AdminState, DrainPolicy, Health


@pytest.mark.parametrize("state", [AdminState.OPEN, AdminState.CORDONED, AdminState.MAINTENANCE])
def test_an_action_is_open_where_the_table_of_moves_allows_its_target(state: str):
    node = Node(admin_state=state, health=Health.OK)
    for action in ACTIONS.values():
        if action.target:
            assert action.is_open_to(node, False) == (state in ADMIN_MOVES[action.target])


def test_readmitting_needs_a_suspect_node_or_device():
    readmit = ACTIONS["readmit"]
    assert not readmit.is_open_to(Node(health=Health.OK), False)
    assert readmit.is_open_to(Node(health=Health.OK), True)
    assert readmit.is_open_to(Node(health=Health.SUSPECT), False)


@pytest.mark.django_db
def test_performing_an_action_passes_on_what_it_takes(node):
    assert perform(ACTIONS["cordon"], node, "ada", "disk").admin_state == AdminState.CORDONED
    assert perform(ACTIONS["uncordon"], node, "ada", "", policy="finish").admin_state == AdminState.OPEN
    drained = perform(ACTIONS["drain"], node, "ada", "disk", policy=DrainPolicy.FINISH)
    assert (drained.admin_state, drained.drain_policy) == (AdminState.DRAINING, DrainPolicy.FINISH)
    with pytest.raises(StateError, match="needs a time"):
        perform(ACTIONS["drain"], node, "ada", "disk", policy=DrainPolicy.DEADLINE)


@pytest.mark.parametrize(
    ("health", "reason", "fields"),
    [("broken", "x", ["health"]), ("failed", "  ", ["reason"]), ("failed", "x", []), ("ok", "", [])],
)
def test_a_mark_needs_a_known_health_and_a_reason_unless_it_is_ok(
    health: str, reason: str, fields: list[str]
):
    assert [problem.field for problem in admin.mark_problems(health, reason)] == fields


@pytest.mark.parametrize("hours", [0.01, 1, 24 * 365])
def test_the_life_of_a_token_is_within_its_limits(hours: float):
    assert joining.token_ttl(hours).total_seconds() == pytest.approx(hours * 3600)


@pytest.mark.parametrize("hours", [0, -1, 24 * 365 + 1, float("nan"), float("inf")])
def test_a_life_outside_the_limits_is_refused(hours: float):
    with pytest.raises(StateError, match="is not between"):
        joining.token_ttl(hours)


@pytest.mark.django_db
def test_the_command_line_has_the_same_limit():
    with pytest.raises(CommandError, match="is not between"):
        call_command("node", "token", "default", "--hours", "0")
