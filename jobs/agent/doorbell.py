"""The agent's ear: a Celery worker in the main thread, on the node's own queue."""

from __future__ import annotations

import logging
import threading

from celery.worker import state

from jobs.celery import app, node_queue

log = logging.getLogger(__name__)

RESTART_PAUSE_S = 5.0


def listen(node_id: str, stop: threading.Event) -> None:
    """Until `stop` is set through `hang_up`. A broker that is away is waited for; the loop polls meanwhile."""
    queue = node_queue(node_id)
    app.amqp.queues.add(queue)
    while not stop.is_set():
        # The embeddable worker has no signal handlers: SIGTERM must reach the agent, whatever the worker is doing.
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
            log.warning("The doorbell's worker ended with %s; it starts again", worker.exitcode)
            stop.wait(RESTART_PAUSE_S)


def request_stop(stop: threading.Event) -> None:
    """Safe in a signal handler: sets flags only."""
    stop.set()
    state.should_stop = 0
