"""Runs whose health is to be judged."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from engine.health.assess import HEALTH_VERSION
from jobs.models import Run, RunHealth
from jobs.states.jobs import FINAL, JobState

LIVE_EVERY = timedelta(seconds=30)  # an open page judges its own run


def find_due() -> QuerySet[Run]:
    """Runs that have ended since their last judgement, running ones that have gone on, and those of an older version;
    the newest first."""
    recent = timezone.now() - LIVE_EVERY
    # The time of the last request, by the server's clock: a client's clock may be ahead.
    ended = Coalesce("job__ended_at", "last_seen_at", "created_at")
    runs = Run.objects.annotate(end=ended, state_now=Coalesce("job__state", "state"))
    mine = RunHealth.objects.filter(run=OuterRef("pk"), version=HEALTH_VERSION)
    settled = mine.filter(is_final=True, at__gte=OuterRef("end"))
    fresh = mine.filter(Q(at__gte=recent) | Q(step=OuterRef("job__step")))
    silent = mine.filter(at__gte=OuterRef("last_seen_at"))
    has_ended = Q(state_now__in=FINAL) & ~Exists(settled)
    goes_on = Q(job__state=JobState.RUNNING, job__step__gt=0) & ~Exists(fresh)
    is_logged = ~Q(state_now__in=FINAL) & Q(job=None) & ~Exists(fresh) & ~Exists(silent)
    return runs.filter(has_ended | goes_on | is_logged).select_related("job").order_by(F("created_at").desc())
