"""Doorbell messages to agents for attempts that wait to be started.

A message is sent again until the agent has claimed the attempt.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone
from kombu.exceptions import OperationalError

from jobs.celery import MESSAGE_TTL_S, app, node_queue
from jobs.models import Attempt, AttemptNode
from jobs.states.jobs import AttemptState

log = logging.getLogger(__name__)

RING_AGAIN = timedelta(seconds=2)
CONNECT_LIMIT_S = 1.0
PAUSE_S = 5.0  # after a failure; agents poll in the meantime


def publish(node_id: str, attempt_id: int) -> None:
    """Send one message to the node's queue. Raises OperationalError if the broker cannot be reached in a second."""
    with app.connection_for_write() as connection:
        connection.transport_options = {
            **connection.transport_options,
            "socket_timeout": CONNECT_LIMIT_S,
            "socket_connect_timeout": CONNECT_LIMIT_S,
            "max_retries": 0,  # by default kombu retries for four seconds
        }
        app.send_task(
            "jobs.ring",
            args=[attempt_id],
            queue=node_queue(node_id),
            expires=MESSAGE_TTL_S,
            retry=False,
            connection=connection,
        )


@dataclass
class Dispatcher:
    """Sends the due doorbell messages. Its only state is whether the broker answered last time."""

    publish: Callable[[str, int], Any] = publish
    is_broker_down: bool = False
    _retry_at: float = field(default=0.0, repr=False)

    def ring_all(self) -> int:
        """Send a message for each due attempt; returns how many attempts.

        Never raises because of the broker. While the broker is away, it costs at most one connection timeout per
        PAUSE_S.
        """
        if time.monotonic() < self._retry_at:
            return 0
        rung = 0
        for attempt_id, node_id, num_nodes in _due().values_list("id", "node_id", "num_nodes"):
            # The conditional UPDATE keeps two dispatchers from sending for the same attempt at once.
            if not _due().filter(id=attempt_id).update(rung_at=timezone.now()):
                continue
            if not all(self._ring(node, attempt_id) for node in _nodes(attempt_id, node_id, num_nodes)):
                break
            rung += 1
        return rung

    def _ring(self, node_id: str, attempt_id: int) -> bool:
        try:
            self.publish(node_id, attempt_id)
        except (OperationalError, OSError) as error:
            self._retry_at = time.monotonic() + PAUSE_S
            if not self.is_broker_down:
                log.warning("The broker does not answer (%s); agents find their attempts by polling", error)
            self.is_broker_down = True
            return False
        if self.is_broker_down:
            log.info("The broker answers again")
        self.is_broker_down = False
        return True


def _nodes(attempt_id: int, node_id: str, num_nodes: int) -> list[str]:
    if num_nodes == 1:
        return [node_id]
    return list(AttemptNode.objects.filter(attempt_id=attempt_id).values_list("node_id", flat=True))


def _due() -> Any:
    again = Q(rung_at=None) | Q(rung_at__lt=timezone.now() - RING_AGAIN)
    return Attempt.objects.filter(again, state=AttemptState.ASSIGNED)
