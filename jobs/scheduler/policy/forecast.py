"""Forecast of free devices: the head's reservation and expected starts.

Assumes that every attempt runs to its time limit.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

import msgspec

from jobs.scheduler.policy.admission import AdmissionControl, cost_device_s
from jobs.scheduler.policy.free_devices import Allocation, FreeDevices
from jobs.scheduler.policy.reasons import WaitingReason
from jobs.scheduler.policy.snapshot import PoolSnapshot, WaitingJob


class Release(msgspec.Struct, frozen=True):
    """Devices that become free at `at` at the latest."""

    at: float
    team: int
    allocation: Allocation


@dataclass(frozen=True)
class Reservation:
    """Where and when the head of the queue starts. `spare`: its nodes -> devices that it will not need there."""

    at: float | None  # None: a job that holds the devices has no known end
    spare: Mapping[str, int]

    def allows(self, allocation: Allocation, until: float) -> bool:
        """Whether a job with this allocation until `until` does not delay the head."""
        if self.at is not None and until <= self.at:
            return True
        return all(needed <= self.spare.get(node, needed) for node, needed in allocation.items())

    def find_spare(self, num_devices: int, free: Allocation) -> Allocation | None:
        for node, spare in self.spare.items():
            if min(spare, free[node]) >= num_devices:
                return {node: num_devices}
        return None

    def reduced_by(self, allocation: Allocation, until: float) -> Reservation:
        """Return the reservation after a job with this allocation was started, with fewer spare devices."""
        if self.at is not None and until <= self.at:
            return self
        return replace(self, spare={node: n - allocation.get(node, 0) for node, n in self.spare.items()})


def reserve(head: WaitingJob, free_devices: FreeDevices, releases: Iterable[Release]) -> Reservation:
    """Return the earliest reservation at which the whole gang fits."""
    future = free_devices.copy()
    at = None
    allocation = None
    for release in sorted(releases, key=lambda release: release.at):
        if at is not None and release.at > at:  # releases at the same time count together
            allocation = _choose_allocation(future, free_devices, head)
            if allocation is not None:
                break
        future.release(release.allocation)
        at = release.at
    allocation = allocation or _choose_allocation(future, free_devices, head)
    if allocation is None:
        return Reservation(None, _fallback_nodes(free_devices, head))
    return Reservation(at, {node: future.by_node[node] - needed for node, needed in allocation.items()})


def _choose_allocation(future: FreeDevices, now: FreeDevices, head: WaitingJob) -> Allocation | None:
    """Return an allocation for the gang, on the fitting node with most devices free now, so that fewest stay idle."""
    allocation = future.find(head.num_devices, head.homes, head.may_span_nodes)
    if allocation is None or len(allocation) > 1 or set(head.homes) & allocation.keys():
        return allocation
    fitting = [node for node, free in future.by_node.items() if free >= head.num_devices]
    return {max(fitting, key=lambda node: now.by_node[node]): head.num_devices}


def _fallback_nodes(free_devices: FreeDevices, head: WaitingJob) -> Mapping[str, int]:
    """Return the nodes to reserve if no end is known: the one with most free devices, or all for a gang over nodes."""
    if head.may_span_nodes:
        return {node: 0 for node in free_devices.by_node if free_devices.groups.get(node)}
    return (
        {max(free_devices.by_node, key=lambda node: free_devices.by_node[node]): 0}
        if free_devices.by_node
        else {}
    )


def expected_starts(
    snapshot: PoolSnapshot,
    waiting: Sequence[WaitingJob],
    reasons: Mapping[str, WaitingReason | None],
    admission: AdmissionControl,
    free_devices: FreeDevices,
    releases: Iterable[Release],
) -> dict[str, float]:
    """Return job -> latest start, for jobs whose start can be derived.

    Simulates the queue in order, without backfill, with every job running to its time limit. Jobs over their team's
    quota start when devices of the team become free; jobs over a budget start with the next month.
    """
    return _Simulation(snapshot, admission, free_devices, releases).run(
        job for job in waiting if (reason := reasons[job.job]) is None or reason.code in ("QUOTA", "BUDGET")
    )


class _Simulation:
    """Simulation of the queue up to the start of each job."""

    def __init__(
        self,
        snapshot: PoolSnapshot,
        admission: AdmissionControl,
        free_devices: FreeDevices,
        releases: Iterable[Release],
    ) -> None:
        self.now = snapshot.now
        self.month_ends_at = snapshot.month_ends_at  # None once the next month has begun
        self.is_next_month = False
        self.admission = admission
        self.free_devices = free_devices.copy()
        self.held: Counter[int] = Counter(admission.held)
        self.committed = defaultdict(float, admission.committed)
        self.sequence = count()
        self.releases = [(r.at, next(self.sequence), r.team, r.allocation) for r in releases]
        heapq.heapify(self.releases)
        self.queue: deque[WaitingJob] = deque()
        self.over_quota: dict[int, deque[WaitingJob]] = defaultdict(deque)  # team -> jobs over its quota
        self.next_month: list[WaitingJob] = []  # jobs over a budget
        self.starts: dict[str, float] = {}

    def run(self, jobs: Iterable[WaitingJob]) -> dict[str, float]:
        self.queue.extend(jobs)
        while self.queue or self.next_month or any(self.over_quota.values()):
            if not self.queue:
                if not self._advance():
                    break
                continue
            job = self.queue[0]
            if not self._defer(job):
                while self.queue[0] is job and not self._start(job):
                    if not self._advance():
                        return self.starts
                if self.queue[0] is not job:  # a month has begun, and other jobs now come first
                    continue
            self.queue.popleft()
        return self.starts

    def _defer(self, job: WaitingJob) -> bool:
        if self.over_quota[job.team] or self.admission.is_over_quota(job, self.held):
            self.over_quota[job.team].append(job)
            return True
        return self._is_over_budget(job)

    def _is_over_budget(self, job: WaitingJob) -> bool:
        """Put a job over a budget aside until the next month. Over the next month's budget, it has no known start."""
        if self.admission.check_budget(job, self.committed, self.is_next_month) is None:
            return False
        if not self.is_next_month:
            self.next_month.append(job)
        return True

    def _advance(self) -> bool:
        """Advance to the next release of devices or the next month. Returns False if there is neither."""
        ends_at = self.month_ends_at
        if ends_at is not None and not (self.releases and self.releases[0][0] < ends_at):
            self._begin_month(ends_at)
            return True
        if not self.releases:
            return False
        at, _, team, allocation = heapq.heappop(self.releases)
        self.now = max(self.now, at)
        self.free_devices.release(allocation)
        self.held[team] -= sum(allocation.values())
        deferred = self.over_quota[team]
        while deferred and not self.admission.is_over_quota(deferred[0], self.held):
            if not (self._is_over_budget(deferred[0]) or self._start(deferred[0])):
                break
            deferred.popleft()
        return True

    def _begin_month(self, at: float) -> None:
        """Restore the budgets, less what still runs. Jobs that waited for the month come before all others."""
        self.now, self.month_ends_at, self.is_next_month = max(self.now, at), None, True
        self.committed = defaultdict(float)
        for ends_at, _, team, allocation in self.releases:
            self.committed[team] += (ends_at - at) * sum(allocation.values())
        self.queue.extendleft(reversed(self.next_month))
        self.next_month.clear()

    def _start(self, job: WaitingJob) -> bool:
        allocation = self.free_devices.find(job.num_devices, job.homes, job.may_span_nodes)
        if allocation is None:
            return False
        self.free_devices.allocate(allocation)
        self.held[job.team] += job.num_devices
        self.committed[job.team] += cost_device_s(job)
        self.starts[job.job] = self.now
        heapq.heappush(
            self.releases, (self.now + job.max_duration_s, next(self.sequence), job.team, allocation)
        )
        return True
