"""Celery worker of the agent, in the main thread, on the node's queue."""

from __future__ import annotations

import logging
import threading

from celery.worker import state

from jobs.celery import app, node_queue

log = logging.getLogger(__name__)

RESTART_PAUSE_S = 5.0


def listen(node_id: str, stop: threading.Event) -> None:
    """Run the worker until request_stop(stop). While the broker is away, it reconnects and the agent's loop polls."""
    queue = node_queue(node_id)
    app.amqp.queues.add(queue)
    while not stop.is_set():
        # The embeddable worker installs no signal handlers, so SIGTERM always reaches the agent.
        worker = app.WorkController(
            pool="solo",
            queues=[queue.name],
            hostname=f"agent@{node_id}",
            loglevel=logging.WARNING,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        )
        worker.start()
        if not stop.is_set():
            log.warning("The Celery worker ended with %s; it is restarted", worker.exitcode)
            stop.wait(RESTART_PAUSE_S)


def request_stop(stop: threading.Event) -> None:
    """Make `listen` return. Safe in a signal handler, as it only sets flags."""
    stop.set()
    state.should_stop = 0
