"""Judges runs that have ended, and now and then those that go on, beside the scheduler and never in its way."""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timedelta

from django.db import DatabaseError, close_old_connections
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from jobs.models import Run, RunVerdict
from jobs.states.jobs import FINAL, JobState
from jobs.verdicts.checks import advance_checks
from jobs.verdicts.judging import judge_run

log = logging.getLogger(__name__)

PAUSE_S = 1.0
ERROR_PAUSE_S = 5.0
AT_ONCE = 20  # then checks and newly ended runs have their turn
LIVE_EVERY = timedelta(seconds=30)  # a page that is open asks for itself
RECENT, ALL_EVERY = (
    timedelta(hours=1),
    timedelta(minutes=10),
)  # every ended run is looked at now and then only
SETTLED = timedelta(seconds=1)  # the last lines of a run may come in after its end


class Judge:
    """A loop that lives through any error; several of them only do the same work twice."""

    def __init__(self) -> None:
        self._all_looked_at: datetime | None = None

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            pause = PAUSE_S
            try:
                self.look()
            except DatabaseError as error:
                log.warning("The database does not answer: %s", error)
                pause = ERROR_PAUSE_S
            except Exception:
                log.exception("Judging failed")
                pause = ERROR_PAUSE_S
            finally:
                close_old_connections()
            stop.wait(pause)

    def look(self) -> int:
        """One look: judges what is due, and takes checks of verdicts a step further."""
        judged, now = 0, timezone.now()
        since = None if self._all_looked_at is None or now - self._all_looked_at > ALL_EVERY else now - RECENT
        ended = list(_ended(since)[:AT_ONCE])
        if since is None and len(ended) < AT_ONCE:
            self._all_looked_at = now
        for run in (*ended, *_live()[:AT_ONCE]):
            judge_run(run)
            judged += 1
        advance_checks()
        return judged


def _ended(since: datetime | None) -> QuerySet[Run]:
    """Runs whose job has ended (since then) and that have no verdict of after that, whatever rules made it."""
    ended = Run.objects.filter(job__state__in=FINAL, job__ended_at__lt=timezone.now() - SETTLED)
    if since is not None:
        ended = ended.filter(job__ended_at__gte=since)
    known = RunVerdict.objects.filter(run=OuterRef("pk"), is_final=True, at__gte=OuterRef("job__ended_at"))
    return ended.filter(~Exists(known)).select_related("job").order_by("-job__ended_at")


def _live() -> QuerySet[Run]:
    fresh = RunVerdict.objects.filter(run=OuterRef("pk")).filter(
        Q(at__gte=timezone.now() - LIVE_EVERY) | Q(step=F("run__job__step"))
    )
    running = Run.objects.filter(job__state=JobState.RUNNING, job__step__gt=0)
    return running.filter(~Exists(fresh)).select_related("job").order_by("id")
