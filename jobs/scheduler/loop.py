"""The scheduler's tick: carries out the decisions of `jobs.scheduler.policy`.

Several schedulers may run. Decisions are made without any lock; whoever acts on a pool holds its row locked (SQLite:
the one write lock) and looks again at what must hold: the job still waits (conditional UPDATE), its team's quota and
budget, the node takes work, the device is free (unique index on active leases). So no leader is elected, and none
can be lost.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, close_old_connections, transaction
from django.db.models import Q
from django.db.models.functions import Now

from jobs.lifecycle import preemption
from jobs.lifecycle.transitions import move_attempt, move_job
from jobs.models import Attempt, Device, Job, Pool, Sign
from jobs.nodes.admin import note_silence, settle
from jobs.nodes.heartbeat import alive_since
from jobs.scheduler import gangs, idle, positions, snapshot
from jobs.scheduler.dispatch import Dispatcher
from jobs.scheduler.leases import assign
from jobs.scheduler.policy import decide
from jobs.scheduler.policy.admission import Gates
from jobs.scheduler.policy.decide import Placing
from jobs.states.jobs import ATTEMPT_LIVE, AttemptState, Cause, JobState
from jobs.states.nodes import DeviceHealth, Health
from jobs.sweeps import advance
from jobs.tracking import external_runs
from jobs.verdicts import forecasts

log = logging.getLogger(__name__)

ACTOR = "scheduler"
TICK_S = 0.15
EXPIRY_EVERY_S = 2.0
IDLE_EVERY_S = 30.0
SWEEPS_EVERY_S = 1.0
ERROR_PAUSE_S = 2.0
PLACED_AT_ONCE = 32  # gangs in one transaction: SQLite has one writer, and agents wait for it
PLACING_LIMIT_S = 0.5  # in one tick; what is left over is decided anew


@dataclass
class Scheduler:
    dispatcher: Dispatcher = field(default_factory=Dispatcher)
    _patient_until: float = 0.0
    _expire_at: float = 0.0
    _idle_at: float = 0.0
    _sweeps_at: float = 0.0

    def __post_init__(self) -> None:
        self.be_patient()

    def be_patient(self) -> None:
        """After an outage of our own, nodes need time to show that they live."""
        self._patient_until = time.monotonic() + settings.UNREACHABLE_AFTER_S

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set; lives through any error."""
        while not stop.is_set():
            began = time.monotonic()
            try:
                self.tick()
                pause = max(
                    TICK_S, time.monotonic() - began
                )  # half of a core at most, however long the queue
            except DatabaseError as error:
                log.warning("The database does not answer: %s", error)
                pause = self._recover()
            except Exception:
                log.exception("A tick of the scheduler failed")
                pause = self._recover()
            stop.wait(pause)

    def _recover(self) -> float:
        close_old_connections()
        self.be_patient()
        return ERROR_PAUSE_S

    def tick(self) -> None:
        for pool in Pool.objects.filter(jobs__state=JobState.QUEUED).distinct():
            schedule(pool)
        now = time.monotonic()
        if now >= self._sweeps_at:
            self._sweeps_at = now + SWEEPS_EVERY_S
            advance.advance_all()
            forecasts.judge_all()
        if now >= self._expire_at:
            self._expire_at = now + EXPIRY_EVERY_S
            Sign.objects.update_or_create(part="scheduler", defaults={"at": Now()})
            settle()
            if now >= self._patient_until:
                note_silence()
                take_back_lost_attempts()
                external_runs.fail_silent_runs()
        if now >= self._idle_at:
            self._idle_at = now + IDLE_EVERY_S
            idle.look_after_all()
        self.dispatcher.ring_all()


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """A large pool is some 100,000 objects without a cycle; looking for cycles among them took a third of a tick."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@_no_garbage_collection()
def schedule(pool: Pool) -> int:
    """One look at a pool and everything that follows from it; returns how many jobs were placed."""
    seen = snapshot.of(pool)
    if not seen.waiting:
        return 0
    decisions = decide(seen)
    placed = _place(pool, decisions.placings)
    for victim in decisions.preemptions:
        preemption.preempt(victim.attempt, by=victim.by, actor=ACTOR)
    positions.tell(pool, decisions.standings)
    return placed


def _place(pool: Pool, placings: Sequence[Placing]) -> int:
    until = time.monotonic() + PLACING_LIMIT_S
    placed = 0
    for first in range(0, len(placings), PLACED_AT_ONCE):
        placed += _place_some(pool, placings[first : first + PLACED_AT_ONCE])
        if time.monotonic() > until:
            break
    return placed


@transaction.atomic
def _place_some(pool: Pool, placings: Sequence[Placing]) -> int:
    if not Pool.objects.select_for_update(no_key=True).get(id=pool.id).is_open:
        return 0
    ready = _ready(pool, placings)
    jobs = Job.objects.in_bulk([placing.job for placing in placings])
    gates = Gates(snapshot.of_teams(pool, {job.team_id for job in jobs.values()}))
    placed = 0
    for placing in placings:
        job = jobs.get(placing.job)
        devices = [device for _, some in placing.seats for device in some]
        if job is None or not ready.issuperset(devices):
            continue
        wish = snapshot.wish(job)
        if gates.check_team(wish) is not None:
            continue
        if assign(job, placing.seats[0][0], devices, ACTOR) is not None:
            gates.enter(wish)
            placed += 1
    return placed


def _ready(pool: Pool, placings: Sequence[Placing]) -> set[str]:
    """Of the devices to be leased, those that may take work at this moment."""
    wanted = [device for placing in placings for _, devices in placing.seats for device in devices]
    found = Device.objects.filter(
        id__in=wanted, is_present=True, health=DeviceHealth.OK,
        node__pool=pool, node__is_cordoned=False, node__heartbeat_at__gt=alive_since(),
    ).exclude(node__health=Health.SUSPECT)  # fmt: skip
    return set(found.values_list("id", flat=True))


def take_back_lost_attempts() -> int:
    """Attempts of nodes that have been silent for too long are lost; their jobs wait again, free of charge."""
    limit = timedelta(seconds=settings.REASSIGN_AFTER_S)
    silent = Q(node__heartbeat_at__lt=Now() - limit) | Q(
        node__heartbeat_at=None, assigned_at__lt=Now() - limit
    )
    lost = Attempt.objects.filter(silent, state__in=ATTEMPT_LIVE, num_nodes=1).select_related("node")
    return sum(_take_back(attempt) for attempt in lost) + gangs.look_after_all()


@transaction.atomic
def _take_back(attempt: Attempt) -> bool:
    reason = f"Node {attempt.node.name} has been silent for {settings.REASSIGN_AFTER_S} s."
    if not move_attempt(attempt.id, AttemptState.LOST, actor=ACTOR, reason=reason, cause=Cause.LOST):
        return False
    job = Job.objects.select_for_update().get(id=attempt.job_id)
    to = job.wanted_state or JobState.QUEUED
    return move_job(job.id, to, actor=ACTOR, reason=reason, attempt=attempt.number)
