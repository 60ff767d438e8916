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
from jobs.models import Attempt, ComponentHeartbeat, Device, Job, Pool
from jobs.nodes.admin import mark_silent_nodes, reconcile
from jobs.nodes.heartbeat import alive_since
from jobs.scheduler import gangs, idle, positions, snapshot
from jobs.scheduler.dispatch import Dispatcher
from jobs.scheduler.leases import assign
from jobs.scheduler.policy import decide
from jobs.scheduler.policy.admission import AdmissionControl
from jobs.scheduler.policy.decide import Assignment
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
PLACE_BATCH = 32  # gangs in one transaction: SQLite has one writer, and agents wait for it
PLACING_LIMIT_S = 0.5  # in one tick; what is left over is decided anew


@dataclass
class Scheduler:
    dispatcher: Dispatcher = field(default_factory=Dispatcher)
    _grace_until: float = 0.0
    _expire_at: float = 0.0
    _idle_at: float = 0.0
    _sweeps_at: float = 0.0

    def __post_init__(self) -> None:
        self.start_grace_period()

    def start_grace_period(self) -> None:
        """After an outage of our own, nodes need time to show that they live."""
        self._grace_until = time.monotonic() + settings.UNREACHABLE_AFTER_S

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
                pause = self._pause_after_error()
            except Exception:
                log.exception("A tick of the scheduler failed")
                pause = self._pause_after_error()
            stop.wait(pause)

    def _pause_after_error(self) -> float:
        close_old_connections()
        self.start_grace_period()
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
            ComponentHeartbeat.objects.update_or_create(component="scheduler", defaults={"at": Now()})
            reconcile()
            if now >= self._grace_until:
                mark_silent_nodes()
                reclaim_lost_attempts()
                external_runs.end_silent()
        if now >= self._idle_at:
            self._idle_at = now + IDLE_EVERY_S
            idle.reconcile()
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
    state = snapshot.take_snapshot(pool)
    if not state.waiting:
        return 0
    decisions = decide(state)
    placed = _place(pool, decisions.assignments)
    for victim in decisions.preemptions:
        preemption.preempt(victim.attempt, by=victim.by, actor=ACTOR)
    positions.update_positions(pool, decisions.positions)
    return placed


def _place(pool: Pool, assignments: Sequence[Assignment]) -> int:
    until = time.monotonic() + PLACING_LIMIT_S
    placed = 0
    for first in range(0, len(assignments), PLACE_BATCH):
        placed += _place_batch(pool, assignments[first : first + PLACE_BATCH])
        if time.monotonic() > until:
            break
    return placed


@transaction.atomic
def _place_batch(pool: Pool, assignments: Sequence[Assignment]) -> int:
    if not Pool.objects.select_for_update(no_key=True).get(id=pool.id).is_open:
        return 0
    ready = _list_available(pool, assignments)
    jobs = Job.objects.in_bulk([assignment.job for assignment in assignments])
    admission = AdmissionControl(snapshot.take_team_snapshot(pool, {job.team_id for job in jobs.values()}))
    placed = 0
    for assignment in assignments:
        job = jobs.get(assignment.job)
        devices = [device for _, some in assignment.node_devices for device in some]
        if job is None or not ready.issuperset(devices):
            continue
        waiting_job = snapshot.build_waiting_job(job)
        if admission.check_team(waiting_job) is not None:
            continue
        if assign(job, assignment.node_devices[0][0], devices, ACTOR) is not None:
            admission.admit(waiting_job)
            placed += 1
    return placed


def _list_available(pool: Pool, assignments: Sequence[Assignment]) -> set[str]:
    """Of the devices to be leased, those that may take work at this moment."""
    wanted = [
        device for assignment in assignments for _, devices in assignment.node_devices for device in devices
    ]
    found = Device.objects.filter(
        id__in=wanted, is_present=True, health=DeviceHealth.OK,
        node__pool=pool, node__is_cordoned=False, node__heartbeat_at__gt=alive_since(),
    ).exclude(node__health=Health.SUSPECT)  # fmt: skip
    return set(found.values_list("id", flat=True))


def reclaim_lost_attempts() -> int:
    """Attempts of nodes that have been silent for too long are lost; their jobs wait again, free of charge."""
    limit = timedelta(seconds=settings.REASSIGN_AFTER_S)
    silent = Q(node__heartbeat_at__lt=Now() - limit) | Q(
        node__heartbeat_at=None, assigned_at__lt=Now() - limit
    )
    lost = Attempt.objects.filter(silent, state__in=ATTEMPT_LIVE, num_nodes=1).select_related("node")
    return sum(_reclaim(attempt) for attempt in lost) + gangs.reconcile()


@transaction.atomic
def _reclaim(attempt: Attempt) -> bool:
    reason = f"Node {attempt.node.name} has been silent for {settings.REASSIGN_AFTER_S} s."
    if not move_attempt(attempt.id, AttemptState.LOST, actor=ACTOR, reason=reason, cause=Cause.LOST):
        return False
    job = Job.objects.select_for_update().get(id=attempt.job_id)
    to = job.wanted_state or JobState.QUEUED
    return move_job(job.id, to, actor=ACTOR, reason=reason, attempt=attempt.number)
