"""`manage.py scheduler`: assign devices to waiting jobs."""

from __future__ import annotations

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand

from jobs.scheduler.loop import Scheduler
from jobs.verdicts import JudgeLoop


class Command(BaseCommand):
    help = "Assign free devices to waiting jobs and wake the agents, until SIGTERM."
    requires_system_checks: list[str] = []

    def handle(self, **options: Any) -> None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        # Verdicts are computed in a thread of their own, so that they do not delay the scheduler's ticks.
        judge = threading.Thread(target=JudgeLoop().run, args=[stop], name="judge", daemon=True)
        judge.start()
        Scheduler().run(stop)
        judge.join(timeout=5.0)
