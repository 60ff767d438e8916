"""One pass of EASY backfill (Lifka 1995) over the queue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from jobs.scheduler.policy.admission import AdmissionControl
from jobs.scheduler.policy.forecast import Release, Reservation, reserve
from jobs.scheduler.policy.free_devices import Allocation, FreeDevices
from jobs.scheduler.policy.snapshot import WaitingJob


class BackfillPass:
    """One pass over the queue at one moment.

    The first job that lacks nothing but free devices is the head. It gets a reservation, and a job behind it may start
    only if that does not delay the head. `free_devices`, `admission` and `releases` change with each start.
    """

    def __init__(
        self, now: float, admission: AdmissionControl, free_devices: FreeDevices, releases: list[Release]
    ) -> None:
        self.now = now
        self.admission = admission
        self.free_devices = free_devices
        self.releases = releases
        self.head: WaitingJob | None = None
        self.reservation: Reservation | None = None
        self.held_back: set[str] = set()  # jobs that would fit without the reservation

    def starts(self, queue: Iterable[WaitingJob]) -> Iterator[tuple[WaitingJob, Allocation]]:
        for job in queue:
            if self.free_devices.total == 0 and self.head is not None:
                return
            if self.admission.check(job) is None:
                allocation = self._place_or_reserve(job)
                if allocation is not None:
                    self._allocate(job, allocation)
                    yield job, allocation

    def _place_or_reserve(self, job: WaitingJob) -> Allocation | None:
        allocation = self.free_devices.find(job.num_devices, job.homes, job.may_span_nodes)
        if self.reservation is not None:
            return self._find_without_delay(job, self.reservation, allocation)
        if allocation is None and self.head is None:
            self.head = job
            self.reservation = reserve(job, self.free_devices, self.releases)
        return allocation

    def _find_without_delay(
        self, job: WaitingJob, reservation: Reservation, allocation: Allocation | None
    ) -> Allocation | None:
        """Return an allocation that does not delay the head; None if there is none.

        It ends before the head starts, is on other nodes, or uses devices of the head's nodes that the head does not
        need.
        """
        if allocation is None or reservation.allows(allocation, self.now + job.max_duration_s):
            return allocation
        removed = self.free_devices.remove(reservation.spare)
        other = self.free_devices.find(job.num_devices, (), job.may_span_nodes)
        self.free_devices.release(removed)
        if other is None:
            other = reservation.find_spare(job.num_devices, removed)
        if other is None:
            self.held_back.add(job.job)
        return other

    def _allocate(self, job: WaitingJob, allocation: Allocation) -> None:
        ends_at = self.now + job.max_duration_s
        self.free_devices.allocate(allocation)
        self.admission.admit(job)
        if self.reservation is not None:
            self.reservation = self.reservation.reduced_by(allocation, ends_at)
        self.releases.append(Release(ends_at, job.team, allocation))
