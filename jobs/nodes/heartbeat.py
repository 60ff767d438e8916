"""Liveness of nodes and their readings by age."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now

from jobs.models import Node
from jobs.states.nodes import AdminState, Health, describe_node


def alive_since() -> CombinedExpression:
    """Return the oldest heartbeat time of a node that counts as alive.

    By the database's clock, since the clocks of nodes may differ.
    """
    return Now() - timedelta(seconds=settings.UNREACHABLE_AFTER_S)


def is_fresh(at: datetime | None, now: datetime) -> bool:
    """Whether a heartbeat or a reading is young enough to count."""
    return at is not None and now - at < timedelta(seconds=settings.UNREACHABLE_AFTER_S)


def current_health(node: Node, now: datetime) -> str:
    """Return the health of a node; one without a recent heartbeat is unreachable, whether or not it is recorded yet.

    A retired node does not count as silent.
    """
    is_expected = node.health in (Health.OK, Health.SUSPECT) and node.admin_state != AdminState.RETIRED
    return (
        str(Health.UNREACHABLE) if is_expected and not is_fresh(node.heartbeat_at, now) else str(node.health)
    )


def current_state(node: Node, now: datetime) -> str:
    """The one word for the state of a node, as describe_node says it."""
    return describe_node(node.admin_state, node.health, is_silent=not is_fresh(node.heartbeat_at, now))
