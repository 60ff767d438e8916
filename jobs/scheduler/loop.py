"""The scheduler's loop, which carries out the decisions of jobs.scheduler.policy.

Several schedulers may run. Decisions are made without a lock. To act on a pool, a scheduler locks the pool's row
(SQLite: its single write lock) and checks again that the job still waits (conditional UPDATE), its team is within quota
and budget, the node takes work and the device is free (unique index on active leases). So there is no leader to elect
or to lose.
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
from django.utils import timezone

from jobs.lifecycle import preemption
from jobs.lifecycle.resumption import resume_note
from jobs.lifecycle.transitions import move_attempt, move_job
from jobs.models import Attempt, ComponentHeartbeat, Device, Job, Pool
from jobs.nodes import admin
from jobs.nodes.heartbeat import alive_since
from jobs.scheduler import gangs, idle, positions, snapshot, start_promises
from jobs.scheduler.dispatch import Dispatcher
from jobs.scheduler.leases import assign
from jobs.scheduler.likely_starts import LikelyStarts
from jobs.scheduler.policy import decide
from jobs.scheduler.policy.admission import AdmissionControl
from jobs.scheduler.policy.decide import Assignment
from jobs.states.jobs import ATTEMPT_LIVE, AttemptState, Cause, JobState
from jobs.states.nodes import DeviceHealth, Health
from jobs.sweeps import advance
from jobs.tracking import external_runs, purging
from jobs.verdicts import forecasts

log = logging.getLogger(__name__)

ACTOR = "scheduler"
TICK_S = 0.15
EXPIRY_EVERY_S = 2.0
IDLE_EVERY_S = 30.0
SWEEPS_EVERY_S = 1.0
ERROR_PAUSE_S = 2.0
PLACE_BATCH = 32  # gangs per transaction: SQLite has one writer, and agents wait for it
PLACING_LIMIT_S = 0.5  # per tick; jobs left over are decided again in the next one


@dataclass
class Scheduler:
    dispatcher: Dispatcher = field(default_factory=Dispatcher)
    likely_starts: LikelyStarts = field(default_factory=LikelyStarts)
    _grace_until: float = 0.0
    _expire_at: float = 0.0
    _idle_at: float = 0.0
    _sweeps_at: float = 0.0

    def __post_init__(self) -> None:
        self.start_grace_period()

    def start_grace_period(self) -> None:
        """Give nodes time to send heartbeats after an outage of the scheduler or the database."""
        self._grace_until = time.monotonic() + settings.UNREACHABLE_AFTER_S

    def run(self, stop: threading.Event) -> None:
        """Tick until `stop` is set. Survives any error."""
        while not stop.is_set():
            began = time.monotonic()
            try:
                self.tick()
                # At most half of a core, however long the queue
                pause = max(TICK_S, time.monotonic() - began)
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
        with _no_garbage_collection():
            self.likely_starts.refresh_due()
        now = time.monotonic()
        if now >= self._sweeps_at:
            self._sweeps_at = now + SWEEPS_EVERY_S
            advance.advance_all()
            forecasts.judge_all()
            start_promises.settle(timezone.now())
        if now >= self._expire_at:
            self._expire_at = now + EXPIRY_EVERY_S
            ComponentHeartbeat.objects.update_or_create(component="scheduler", defaults={"at": Now()})
            admin.reconcile()
            if now >= self._grace_until:
                admin.mark_silent_nodes()
                reclaim_lost_attempts()
                external_runs.fail_silent_runs()
            purging.purge_due()
        if now >= self._idle_at:
            self._idle_at = now + IDLE_EVERY_S
            idle.reconcile()
        self.dispatcher.ring_all()


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Disable the garbage collector, which took a third of a tick to scan the 100,000 objects of a large pool.

    These objects have no cycles.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@_no_garbage_collection()
def schedule(pool: Pool) -> int:
    """Take a snapshot of a pool and carry out the decisions for it. Returns how many jobs were placed."""
    pool_snapshot = snapshot.take_snapshot(pool)
    if not pool_snapshot.waiting:
        return 0
    decisions = decide(pool_snapshot)
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
    """Return those of the assigned devices that can take work now."""
    wanted = [
        device for assignment in assignments for _, devices in assignment.node_devices for device in devices
    ]
    found = Device.objects.filter(
        id__in=wanted, is_present=True, health=DeviceHealth.OK,
        node__pool=pool, node__is_cordoned=False, node__heartbeat_at__gt=alive_since(),
    ).exclude(node__health__in=(Health.SUSPECT, Health.STOPPED))  # fmt: skip
    return set(found.values_list("id", flat=True))


def reclaim_lost_attempts() -> int:
    """Mark attempts of nodes without heartbeats as lost; their jobs return to the queue without using up a retry.

    Returns how many attempts have ended.
    """
    limit = timedelta(seconds=settings.REASSIGN_AFTER_S)
    silent = Q(node__heartbeat_at__lt=Now() - limit) | Q(
        node__heartbeat_at=None, assigned_at__lt=Now() - limit
    )
    lost = Attempt.objects.filter(silent, state__in=ATTEMPT_LIVE, num_nodes=1).select_related("node")
    return sum(_reclaim(attempt) for attempt in lost) + gangs.reconcile()


@transaction.atomic
def _reclaim(attempt: Attempt) -> bool:
    reason = f"Node {attempt.node.name} has sent no heartbeat for {settings.REASSIGN_AFTER_S} s."
    if not move_attempt(attempt.id, AttemptState.LOST, actor=ACTOR, reason=reason, cause=Cause.LOST):
        return False
    job = Job.objects.select_for_update().get(id=attempt.job_id)
    to = job.wanted_state or JobState.QUEUED
    if to == JobState.QUEUED:
        reason = f"{reason[:-1]}; {resume_note(job)}"
    return move_job(job.id, to, actor=ACTOR, reason=reason, attempt=attempt.number)
