"""Gives free devices to waiting jobs, oldest first; takes attempts back from nodes that fell silent.

Order: strictly by age, with one relaxation. The oldest job that does not fit reserves the node it waits for, and
younger jobs may pass it only onto nodes that nobody older waits for; so a large gang is never starved by small jobs.

Several schedulers may run. Whoever acts on a pool holds its row locked (SQLite: the one write lock), and looks again
under that lock; the unique index on active leases stands behind it. So no leader is elected, and none can be lost.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, close_old_connections, transaction
from django.db.models import Q
from django.db.models.functions import Now

from jobs import gangs
from jobs.dispatch import Dispatcher
from jobs.leases import FreeNode, alike, alive_since, assign, nodes_of, spread
from jobs.models import Attempt, Job, Node, Pool
from jobs.nodes import note_silence, settle
from jobs.states import ATTEMPT_LIVE, AttemptState, Cause, JobState, move_attempt, move_job

log = logging.getLogger(__name__)

ACTOR = "scheduler"
TICK_S = 0.15
EXPIRY_EVERY_S = 2.0
ERROR_PAUSE_S = 2.0
LOOK_AT = 200  # queued jobs of a pool looked at in one tick; the rest wait behind them anyway


@dataclass
class Decision:
    """What one look at a pool says: who gets which devices, and what everybody else waits for."""

    placings: list[tuple[Job, str, list[str]]] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)  # job -> sentence, only where it changed


@dataclass
class Scheduler:
    dispatcher: Dispatcher = field(default_factory=Dispatcher)
    _patient_until: float = 0.0
    _expire_at: float = 0.0

    def __post_init__(self) -> None:
        self.be_patient()

    def be_patient(self) -> None:
        """After an outage of our own, nodes need time to show that they live."""
        self._patient_until = time.monotonic() + settings.UNREACHABLE_AFTER_S

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set; lives through any error."""
        while not stop.is_set():
            pause = TICK_S
            try:
                self.tick()
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
        if now >= self._expire_at:
            self._expire_at = now + EXPIRY_EVERY_S
            settle()
            if now >= self._patient_until:
                note_silence()
                take_back_lost_attempts()
        self.dispatcher.ring_all()


def schedule(pool: Pool) -> int:
    """Place what fits and write down what the rest waits for; returns how many jobs were placed."""
    decision = decide(pool)
    if not decision.placings and not decision.reasons:
        return 0
    with transaction.atomic():
        locked = Pool.objects.select_for_update(no_key=True).get(id=pool.id)
        decision = decide(locked)  # again: only now can nobody else act on this pool
        placed = sum(
            assign(job, node, devices, ACTOR) is not None for job, node, devices in decision.placings
        )
        for job_id, reason in decision.reasons.items():
            Job.objects.filter(id=job_id, state=JobState.QUEUED).update(waiting_reason=reason)
    return placed


def decide(pool: Pool) -> Decision:
    """A pure look: nothing is written."""
    jobs = list(
        Job.objects.filter(pool=pool, state=JobState.QUEUED)
        .order_by("submitted_at", "id")
        .only("id", "num_devices", "attempt_number", "waiting_reason")[:LOOK_AT]
    )
    decision = Decision()
    if not pool.is_open:
        _say(decision, jobs, f"Pool '{pool.name}' is closed.")
        return decision
    nodes = nodes_of(pool)
    if not nodes:
        _say(decision, jobs, _why_no_node(pool))
        return decision
    _place(decision, jobs, nodes, pool.allows_several_nodes)
    return decision


def _place(decision: Decision, jobs: list[Job], nodes: list[FreeNode], may_spread: bool) -> None:
    homes = _last_nodes(jobs)
    reserved: set[str] = set()
    ahead = 0
    for job in jobs:
        node = _best(job, [n for n in nodes if n.id not in reserved], homes)
        if node is not None:
            devices, node.free = node.free[: job.num_devices], node.free[job.num_devices :]
            node.holders[job.id] = job.num_devices
            decision.placings.append((job, node.id, devices))
            continue
        fitting = [n for n in nodes if len(n.devices) >= job.num_devices]
        waits_for = max(
            (n for n in fitting if n.id not in reserved), key=lambda n: (len(n.free), n.name), default=None
        )
        if not fitting and may_spread and any(_holds(g, job) for g in alike(nodes)):
            _place_over_nodes(decision, job, [n for n in nodes if n.id not in reserved], reserved)
            ahead += job.id not in {placed.id for placed, _, _ in decision.placings}
            continue
        if not fitting:
            largest = max(len(n.devices) for n in nodes)
            _say(
                decision,
                [job],
                f"Needs {_devices(job.num_devices)} on one node; the largest live one has {largest}.",
            )
        elif waits_for is None:
            _say(decision, [job], f"Behind {ahead} {'job' if ahead == 1 else 'jobs'}.")
        else:
            reserved.add(waits_for.id)
            _say(decision, [job], _why_waiting(job, waits_for))
        ahead += 1


def _holds(group: list[FreeNode], job: Job) -> bool:
    return sum(len(node.devices) for node in group) >= job.num_devices


def _place_over_nodes(decision: Decision, job: Job, nodes: list[FreeNode], reserved: set[str]) -> None:
    """A gang that no node holds alone: placed, or its nodes are kept for it."""
    chosen = spread(nodes, job.num_devices)
    if chosen:
        for node, devices in chosen:
            node.free = node.free[len(devices) :]
            node.holders[job.id] = len(devices)
        devices = [device for _, part in chosen for device in part]
        decision.placings.append((job, chosen[0][0].id, devices))
        return
    groups = [group for group in alike(nodes) if _holds(group, job)]
    waits_for = max(groups, key=lambda group: sum(len(n.free) for n in group), default=[])
    reserved |= {node.id for node in waits_for}
    free = sum(len(node.free) for node in waits_for)
    _say(decision, [job], f"Needs {_devices(job.num_devices)} on several nodes; {free} of them are free.")


def _best(job: Job, nodes: list[FreeNode], homes: Mapping[str, str]) -> FreeNode | None:
    """The node that keeps its checkpoint if it fits there, else the one that is left with the fewest free devices."""
    fitting = [n for n in nodes if len(n.free) >= job.num_devices]
    return min(fitting, key=lambda n: (n.id != homes.get(job.id), len(n.free), n.name), default=None)


def _last_nodes(jobs: list[Job]) -> dict[str, str]:
    """Where each job that has run before ran last: its checkpoints lie there."""
    again = [job.id for job in jobs if job.attempt_number]
    if not again:
        return {}
    return dict(Attempt.objects.filter(job__in=again).order_by("number").values_list("job_id", "node_id"))


def _why_waiting(job: Job, node: FreeNode) -> str:
    held = len(node.devices) - len(node.free)
    by = ", ".join(sorted(node.holders)[:3]) + (", ..." if len(node.holders) > 3 else "")
    who = f"job {by}" if len(node.holders) == 1 else f"jobs {by}"
    return f"Needs {_devices(job.num_devices)}; {held} of {len(node.devices)} on node {node.name} are held by {who}."


def _why_no_node(pool: Pool) -> str:
    nodes = Node.objects.filter(pool=pool)
    total, cordoned = nodes.count(), nodes.filter(is_cordoned=True).count()
    alive = nodes.filter(is_cordoned=False, heartbeat_at__gt=alive_since()).count()
    if not total:
        return f"Pool '{pool.name}' has no node."
    parts = {"unreachable": total - cordoned - alive, "cordoned": cordoned, "without devices": alive}
    said = ", ".join(f"{count} {word}" for word, count in parts.items() if count)
    return f"No node of pool '{pool.name}' takes work: {said}."


def _devices(count: int) -> str:
    return "1 device" if count == 1 else f"{count} devices"


def _say(decision: Decision, jobs: list[Job], reason: str) -> None:
    decision.reasons |= {job.id: reason[:300] for job in jobs if job.waiting_reason != reason[:300]}


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
    to = JobState.CANCELLED if job.wants_stop else JobState.QUEUED
    return move_job(job.id, to, actor=ACTOR, reason=reason, attempt=attempt.number)
