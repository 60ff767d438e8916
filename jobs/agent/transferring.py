"""Thread of the agent that sends and receives checkpoints.

A large checkpoint holds up nothing else of the agent.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from django.db import DatabaseError, close_old_connections, connection

from jobs.attempts import transfers
from jobs.models import Node

log = logging.getLogger(__name__)

MOVING_PAUSE_S = 0.02
WAITING_PAUSE_S = 0.2  # while the other agent is to act
IDLE_PAUSE_S = 1.0
STOP_LIMIT_S = 10.0


class TransferThread(threading.Thread):
    """Moves parts until it is stopped. Survives any error; positions are in the database."""

    def __init__(self, node: Node, node_dir: Path) -> None:
        super().__init__(name="transfers", daemon=True)
        self._node, self._node_dir = node, node_dir
        self._is_stopped = threading.Event()

    def run(self) -> None:
        pause = 0.0
        while not self._is_stopped.wait(pause):
            pause = self._step()
        connection.close()

    def stop(self) -> None:
        self._is_stopped.set()
        self.join(STOP_LIMIT_S)

    def _step(self) -> float:
        """Move what can be moved; returns the seconds until the next step."""
        try:
            if not transfers.is_busy(self._node):
                return IDLE_PAUSE_S
            moved = transfers.send(self._node, self._node_dir)
            moved += transfers.receive(self._node, self._node_dir)
            return MOVING_PAUSE_S if moved else WAITING_PAUSE_S
        except DatabaseError as error:
            log.warning("The database does not answer; checkpoints wait: %s", error)
        except Exception:
            log.exception("A checkpoint cannot be moved")
        close_old_connections()
        return IDLE_PAUSE_S
