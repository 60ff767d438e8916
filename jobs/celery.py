"""Celery app that wakes the agents.

A message is only a doorbell: its task takes milliseconds and keeps no result. The database rows are the truth.
"""

from __future__ import annotations

import os

from celery import Celery
from kombu import Exchange, Queue

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dashboard.settings")

from django.conf import settings

MESSAGE_TTL_S = 60  # by then the doorbell has been rung again, or the agent's poll has found the attempt

app = Celery("fourwalls", set_as_current=True)
app.conf.update(
    broker_url=settings.BROKER_URL,
    include=["jobs.tasks"],
    # JSON only: a message can name an attempt and nothing else.
    accept_content=["json"],
    task_serializer="json",
    result_backend=None,
    task_ignore_result=True,
    # Late acknowledgement: the message of a worker that dies is delivered again. The task is idempotent.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    # A prefetched message is stranded when the broker dies, until the visibility timeout.
    worker_prefetch_multiplier=1,
    worker_disable_prefetch=True,
    task_create_missing_queues=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={
        "visibility_timeout": 120,
        # Unacknowledged messages are restored every interval x throttle seconds (default 10 x 10).
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_timeout": 10,
        "socket_connect_timeout": 10,
        "socket_keepalive": True,
        "health_check_interval": 25,
        "global_keyprefix": "fourwalls.",
    },
    worker_soft_shutdown_timeout=10.0,
    # Remote control would let anyone who reaches the broker shut workers down.
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    task_send_sent_event=False,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
)


def node_queue(node_id: str) -> Queue:
    """Return the queue of one node's agent."""
    name = f"node.{node_id}"
    return Queue(name, Exchange("nodes", type="direct"), routing_key=name)
