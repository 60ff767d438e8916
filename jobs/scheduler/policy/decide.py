"""Decisions for one pool: assignments, preemptions and queue positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from jobs.scheduler.policy.admission import AdmissionControl
from jobs.scheduler.policy.backfill import BackfillPass
from jobs.scheduler.policy.forecast import Release, Reservation, expected_starts
from jobs.scheduler.policy.free_devices import Allocation, build_free_devices
from jobs.scheduler.policy.order import order_jobs
from jobs.scheduler.policy.preempt import Preemption, choose_victims
from jobs.scheduler.policy.reasons import WaitingReason
from jobs.scheduler.policy.snapshot import PoolSnapshot, WaitingJob


@dataclass(frozen=True)
class Assignment:
    """The devices assigned to a job, in rank order."""

    job: str
    node_devices: tuple[tuple[str, tuple[str, ...]], ...]  # node, device ids


class QueuePosition(msgspec.Struct, frozen=True):
    """Position of a waiting job in the queue, with the reason and the expected start."""

    position: int  # 1 is served next
    reason: WaitingReason
    expected_start: float | None  # latest start, if no job comes in ahead and all run to their time limits
    unknown_start: str = ""  # why there is no expected start


@dataclass
class Decisions:
    assignments: list[Assignment] = field(default_factory=list)
    preemptions: list[Preemption] = field(default_factory=list)
    positions: dict[str, QueuePosition] = field(default_factory=dict)  # of every job that keeps waiting


def decide(snapshot: PoolSnapshot) -> Decisions:
    """Return the decisions for a snapshot. Pure: the same snapshot gives the same decisions.

    Costs O((jobs + devices) log nodes).
    """
    return _SchedulingPass(snapshot).decisions()


class _SchedulingPass:
    """One pass over the queue of a snapshot."""

    def __init__(self, snapshot: PoolSnapshot) -> None:
        self.snapshot = snapshot
        self.queue = order_jobs(snapshot)
        self.admission = AdmissionControl(snapshot)
        self.free = {node.id: list(node.free) for node in snapshot.nodes if not node.closed_reason}
        self.free_devices = build_free_devices(snapshot)
        self.releases = [
            Release(a.ends_at, a.team, a.devices) for a in snapshot.running if a.ends_at is not None
        ]
        self.backfill = BackfillPass(snapshot.now, self.admission, self.free_devices, self.releases)
        self.assignments: list[Assignment] = []
        self.placed: set[str] = set()

    def decisions(self) -> Decisions:
        for job, allocation in self.backfill.starts(self.queue):
            self._assign(job, allocation)
        head = self.backfill.head
        preemptions = [] if head is None else choose_victims(self.snapshot, head, self.free_devices)
        return Decisions(self.assignments, preemptions, self._positions())

    def _assign(self, job: WaitingJob, allocation: Allocation) -> None:
        node_devices = []
        for node, count in allocation.items():
            node_devices.append((node, tuple(self.free[node][:count])))
            del self.free[node][:count]
        self.assignments.append(Assignment(job.job, tuple(node_devices)))
        self.placed.add(job.job)

    def _positions(self) -> dict[str, QueuePosition]:
        waiting = [job for job in self.queue if job.job not in self.placed]
        reasons = {job.job: self.admission.check(job) for job in waiting}
        starts = expected_starts(
            self.snapshot, waiting, reasons, self.admission, self.free_devices, self.releases
        )
        positions = {}
        for num_ahead, job in enumerate(waiting):
            reason = reasons[job.job] or self._waiting_reason(job, num_ahead)
            start = starts.get(job.job)
            unknown = "" if start is not None else reason.unknown_start
            positions[job.job] = QueuePosition(num_ahead + 1, reason, start, unknown)
        return positions

    def _waiting_reason(self, job: WaitingJob, num_ahead: int) -> WaitingReason:
        head, reservation = self.backfill.head, self.backfill.reservation
        if job is head and reservation is not None:
            return self._gang_fit(job, reservation)
        if job.job in self.backfill.held_back and head is not None and reservation is not None:
            return WaitingReason("RESERVED", {"for": head.job, "from": reservation.at})
        return WaitingReason("AHEAD", {"n": num_ahead})

    def _gang_fit(self, job: WaitingJob, reservation: Reservation) -> WaitingReason:
        nodes = {node.id: node for node in self.snapshot.nodes if not node.closed_reason}
        reserved = list(reservation.spare)
        single_node = nodes[reserved[0]] if len(reserved) == 1 else None
        return WaitingReason(
            "GANG_FIT",
            {
                "need": job.num_devices,
                "have": sum(self.free_devices.by_node[node] for node in reserved),
                "total": sum(nodes[node].devices for node in reserved),
                "node": single_node.name if single_node else None,
                "holders": self._holding_jobs(reserved),
                "freed_at": reservation.at,
            },
        )

    def _holding_jobs(self, nodes: Sequence[str]) -> list[str]:
        here = set(nodes)
        held: Mapping[str, bool] = {a.job: True for a in self.snapshot.running if here & a.devices.keys()}
        placed = {p.job: True for p in self.assignments if any(node in here for node, _ in p.node_devices)}
        return sorted({**held, **placed})
