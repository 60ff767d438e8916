"""Celery task that wakes the agent's loop."""

from __future__ import annotations

import threading

from jobs.celery import app

wakeup = threading.Event()  # the agent's loop in this process waits for it


@app.task(name="jobs.ring", expires=60)
def ring(attempt_id: int) -> None:
    """Wake the agent. The agent reads its work from the database, so a forged message starts nothing."""
    del attempt_id
    wakeup.set()
