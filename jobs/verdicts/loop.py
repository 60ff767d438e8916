"""Loop of the judge: verdicts, checks and health of ended and running runs.

It runs in a thread beside the scheduler, so that verdicts never delay a tick.
"""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timedelta

from django.db import DatabaseError, close_old_connections
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from jobs import health
from jobs.models import Run, RunVerdict
from jobs.states.jobs import FINAL, JobState
from jobs.verdicts.checks import advance_checks
from jobs.verdicts.judging import judge_run

log = logging.getLogger(__name__)

PAUSE_S = 1.0
ERROR_PAUSE_S = 5.0
BATCH_RUNS = 20  # ended and running each, before the checks and newly ended runs
LIVE_EVERY = timedelta(seconds=30)  # an open page judges its own run
RECENT = timedelta(hours=1)  # older ended runs are searched every ten minutes only
ALL_EVERY = timedelta(minutes=10)
SETTLED = timedelta(seconds=1)  # the last lines of a run may arrive after its end


class JudgeLoop:
    """Survives any error. Several loops do the same work twice, without harm."""

    def __init__(self) -> None:
        self._all_searched_at: datetime | None = None

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            pause = PAUSE_S
            try:
                self.poll()
            except DatabaseError as error:
                log.warning("The database does not answer: %s", error)
                pause = ERROR_PAUSE_S
            except Exception:
                log.exception("Judging failed")
                pause = ERROR_PAUSE_S
            finally:
                close_old_connections()
            stop.wait(pause)

    def poll(self) -> int:
        """Judge hardware and training of the runs that are due; advance the checks. Returns the number of verdicts."""
        judged, now = 0, timezone.now()
        search_all = self._all_searched_at is None or now - self._all_searched_at > ALL_EVERY
        since = None if search_all else now - RECENT
        ended = list(_find_ended(since)[:BATCH_RUNS])
        if search_all and len(ended) < BATCH_RUNS:
            self._all_searched_at = now
        for run in (*ended, *_find_live()[:BATCH_RUNS], *_find_logged(since)[:BATCH_RUNS]):
            judge_run(run)
            judged += 1
        for run in health.find_due()[:BATCH_RUNS]:
            health.assess_run(run)
        advance_checks()
        return judged


def _find_ended(since: datetime | None) -> QuerySet[Run]:
    """Runs whose job ended (after `since`) and that have no verdict from after the end, by any version of the rules."""
    ended = Run.objects.filter(job__state__in=FINAL, job__ended_at__lt=timezone.now() - SETTLED)
    if since is not None:
        ended = ended.filter(job__ended_at__gte=since)
    judged = RunVerdict.objects.filter(run=OuterRef("pk"), is_final=True, at__gte=OuterRef("job__ended_at"))
    return ended.filter(~Exists(judged)).select_related("job").order_by("-job__ended_at")


def _find_logged(since: datetime | None) -> QuerySet[Run]:
    """Runs without a job that have sent something since they were judged, at most every LIVE_EVERY."""
    now = timezone.now()
    sent = Run.objects.filter(job=None, last_seen_at__lt=now - SETTLED)
    if since is not None:
        sent = sent.filter(last_seen_at__gte=since)
    fresh = RunVerdict.objects.filter(run=OuterRef("pk")).filter(
        Q(at__gte=OuterRef("last_seen_at")) | Q(at__gte=now - LIVE_EVERY, is_final=False)
    )
    return sent.filter(~Exists(fresh)).order_by("-last_seen_at")


def _find_live() -> QuerySet[Run]:
    fresh = RunVerdict.objects.filter(run=OuterRef("pk")).filter(
        Q(at__gte=timezone.now() - LIVE_EVERY) | Q(step=F("run__job__step"))
    )
    running = Run.objects.filter(job__state=JobState.RUNNING, job__step__gt=0)
    return running.filter(~Exists(fresh)).select_related("job").order_by("id")
