"""Decisions for one pool: assignments, preemptions and queue positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from jobs.scheduler.policy.admission import AdmissionControl
from jobs.scheduler.policy.forecast import Release, Reservation, expected_starts, reserve
from jobs.scheduler.policy.free_devices import Allocation, FreeDevices
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
    """One pass over the queue, with EASY backfill (Lifka 1995).

    The first job that lacks nothing but free devices is the head. It gets a reservation, and a job behind it may start
    only if that does not delay the head.
    """

    def __init__(self, snapshot: PoolSnapshot) -> None:
        self.snapshot = snapshot
        self.queue = order_jobs(snapshot)
        self.admission = AdmissionControl(snapshot)
        self.free = {node.id: list(node.free) for node in snapshot.nodes if not node.closed_reason}
        groups = {node.id: node.group for node in snapshot.nodes}
        self.free_devices = FreeDevices({node: len(free) for node, free in self.free.items()}, groups)
        self.releases = [
            Release(a.ends_at, a.team, a.devices) for a in snapshot.running if a.ends_at is not None
        ]
        self.assignments: list[Assignment] = []
        self.placed: set[str] = set()
        self.head: WaitingJob | None = None
        self.reservation: Reservation | None = None
        self.held_back: set[str] = set()  # jobs that would fit without the reservation

    def decisions(self) -> Decisions:
        for job in self.queue:
            if self.free_devices.total == 0 and self.head is not None:
                break
            if self.admission.check(job) is None:
                self._place_or_reserve(job)
        preemptions = [] if self.head is None else choose_victims(self.snapshot, self.head, self.free_devices)
        return Decisions(self.assignments, preemptions, self._positions())

    def _place_or_reserve(self, job: WaitingJob) -> None:
        allocation = self.free_devices.find(job.num_devices, job.homes, job.may_span_nodes)
        if self.reservation is not None:
            allocation = self._find_without_delay(job, self.reservation, allocation)
        if allocation is not None:
            self._assign(job, allocation)
        elif self.head is None:
            self.head = job
            self.reservation = reserve(job, self.free_devices, self.releases)

    def _find_without_delay(
        self, job: WaitingJob, reservation: Reservation, allocation: Allocation | None
    ) -> Allocation | None:
        """Return an allocation that does not delay the head; None if there is none.

        It ends before the head starts, is on other nodes, or uses devices of the head's nodes that the head does not
        need.
        """
        if allocation is None or reservation.allows(allocation, self.snapshot.now + job.max_duration_s):
            return allocation
        removed = self.free_devices.remove(reservation.spare)
        other = self.free_devices.find(job.num_devices, (), job.may_span_nodes)
        self.free_devices.release(removed)
        if other is None:
            other = reservation.find_spare(job.num_devices, removed)
        if other is None:
            self.held_back.add(job.job)
        return other

    def _assign(self, job: WaitingJob, allocation: Allocation) -> None:
        ends_at = self.snapshot.now + job.max_duration_s
        node_devices = []
        for node, count in allocation.items():
            node_devices.append((node, tuple(self.free[node][:count])))
            del self.free[node][:count]
        self.free_devices.allocate(allocation)
        self.admission.admit(job)
        if self.reservation is not None:
            self.reservation = self.reservation.reduced_by(allocation, ends_at)
        self.releases.append(Release(ends_at, job.team, allocation))
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
        if job is self.head and self.reservation is not None:
            return self._gang_fit(job, self.reservation)
        if job.job in self.held_back and self.head is not None and self.reservation is not None:
            return WaitingReason("RESERVED", {"for": self.head.job, "from": self.reservation.at})
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
