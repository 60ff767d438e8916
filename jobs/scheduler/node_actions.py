"""Actions of an admin on a node: when they are open and what they need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from jobs.models import Node
from jobs.nodes import admin
from jobs.scheduler import drains
from jobs.states.nodes import ADMIN_MOVES, AdminState, Health


@dataclass(frozen=True)
class NodeAction:
    name: str
    execute: Callable[..., Node]
    target: str = ""  # admin state it leads to; '': trusts a suspect node or device again
    needs_reason: bool = True
    takes: Literal["", "until", "policy"] = ""  # beside the reason

    def is_open_to(self, node: Node, has_suspects: bool) -> bool:
        """Whether the node's state allows it; `has_suspects`: one of its devices is suspect."""
        if not self.target:
            return node.health == Health.SUSPECT or has_suspects
        return node.admin_state in ADMIN_MOVES[self.target]


ACTIONS = {
    action.name: action
    for action in (
        NodeAction("cordon", admin.cordon, AdminState.CORDONED, takes="until"),
        NodeAction("drain", drains.drain, AdminState.DRAINING, takes="policy"),
        NodeAction("maintenance", admin.begin_maintenance, AdminState.MAINTENANCE, takes="until"),
        NodeAction("uncordon", admin.uncordon, AdminState.OPEN, needs_reason=False),
        NodeAction("readmit", admin.readmit, needs_reason=False),
        NodeAction("retire", admin.retire, AdminState.RETIRED),
    )
}


def perform(
    action: NodeAction,
    node: Node,
    actor: str,
    reason: str,
    *,
    policy: str = "",
    until: datetime | None = None,
) -> Node:
    """Perform an action with what it takes. Raises StateError when the node's state, or what runs on it, does not allow
    it."""
    given: dict[str, Any] = {"until": until} if action.takes else {}
    if action.takes == "policy":
        given["policy"] = policy
    return action.execute(node, actor, reason, **given)
