"""The one Celery task: a doorbell that wakes the agent's loop."""

from __future__ import annotations

import threading

from jobs.celery import app

wakeup = threading.Event()  # the loop of the agent in this process waits on it


@app.task(name="jobs.ring", expires=60)
def ring(attempt_id: int) -> None:
    """The message is a hint: what is to be done stands in the database, so a forged one starts nothing."""
    del attempt_id
    wakeup.set()
