"""The decisions of one look at a pool: placings, preemptions, and where everybody else stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from jobs.scheduler.policy.admission import Gates
from jobs.scheduler.policy.forecast import Release, Reservation, expected_starts, reserve
from jobs.scheduler.policy.free_devices import Board, Places
from jobs.scheduler.policy.order import in_order
from jobs.scheduler.policy.preempt import Preemption, victims
from jobs.scheduler.policy.reasons import Reason
from jobs.scheduler.policy.snapshot import Snapshot, Waiting


@dataclass(frozen=True)
class Placing:
    """All devices of a gang, in rank order."""

    job: str
    seats: tuple[tuple[str, tuple[str, ...]], ...]  # node, device ids


class Standing(msgspec.Struct, frozen=True):
    """What a waiting job is told."""

    position: int  # 1 is served next
    reason: Reason
    expected_start: float | None  # at the latest, if nobody comes in ahead and all run to their time limits
    unknown_start: str = ""  # why there is no expected start


@dataclass
class Decisions:
    placings: list[Placing] = field(default_factory=list)
    preemptions: list[Preemption] = field(default_factory=list)
    standings: dict[str, Standing] = field(default_factory=dict)  # of every job that goes on waiting


def decide(snapshot: Snapshot) -> Decisions:
    """A pure function: the same snapshot gives the same decisions. Costs O((jobs + devices) log nodes)."""
    return _Round(snapshot).decisions()


class _Round:
    """One walk down the queue. The first job that only lacks free devices is the head: it gets a reservation, and
    who comes behind it may pass only without delaying it (EASY backfill, Lifka 1995)."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.queue = in_order(snapshot)
        self.gates = Gates(snapshot)
        self.free = {node.id: list(node.free) for node in snapshot.nodes if not node.closed_because}
        groups = {node.id: node.group for node in snapshot.nodes}
        self.board = Board({node: len(free) for node, free in self.free.items()}, groups)
        self.releases = [
            Release(a.ends_at, a.team, a.devices) for a in snapshot.running if a.ends_at is not None
        ]
        self.placings: list[Placing] = []
        self.placed: set[str] = set()
        self.head: Waiting | None = None
        self.reservation: Reservation | None = None
        self.held_back: set[str] = set()  # jobs that would fit, were it not for the reservation

    def decisions(self) -> Decisions:
        for job in self.queue:
            if self.board.total == 0 and self.head is not None:
                break
            if self.gates.check(job) is None:
                self._serve(job)
        preemptions = [] if self.head is None else victims(self.snapshot, self.head, self.board)
        return Decisions(self.placings, preemptions, self._standings())

    def _serve(self, job: Waiting) -> None:
        places = self.board.find(job.num_devices, job.home, job.may_span_nodes)
        if self.reservation is not None:
            places = self._without_delay(job, self.reservation, places)
        if places is not None:
            self._place(job, places)
        elif self.head is None:
            self.head = job
            self.reservation = reserve(job, self.board, self.releases)

    def _without_delay(self, job: Waiting, kept: Reservation, places: Places | None) -> Places | None:
        """A place that leaves the head's start where it is: off its nodes, over before it starts, or on devices of
        its nodes that it will not need."""
        if places is None or kept.allows(places, self.snapshot.now + job.lasts_s):
            return places
        off_limits = self.board.remove(kept.spare)
        other = self.board.find(job.num_devices, None, job.may_span_nodes)
        self.board.give(off_limits)
        if other is None:
            other = kept.spare_place(job.num_devices, off_limits)
        if other is None:
            self.held_back.add(job.job)
        return other

    def _place(self, job: Waiting, places: Places) -> None:
        ends_at = self.snapshot.now + job.lasts_s
        seats = []
        for node, count in places.items():
            seats.append((node, tuple(self.free[node][:count])))
            del self.free[node][:count]
        self.board.take(places)
        self.gates.enter(job)
        if self.reservation is not None:
            self.reservation = self.reservation.after(places, ends_at)
        self.releases.append(Release(ends_at, job.team, places))
        self.placings.append(Placing(job.job, tuple(seats)))
        self.placed.add(job.job)

    def _standings(self) -> dict[str, Standing]:
        waiting = [job for job in self.queue if job.job not in self.placed]
        why = {job.job: self.gates.check(job) for job in waiting}
        starts = expected_starts(self.snapshot, waiting, why, self.gates, self.board, self.releases)
        standings = {}
        for ahead, job in enumerate(waiting):
            reason = why[job.job] or self._why(job, ahead)
            start = starts.get(job.job)
            unknown = "" if start is not None else reason.unknown_start
            standings[job.job] = Standing(ahead + 1, reason, start, unknown)
        return standings

    def _why(self, job: Waiting, ahead: int) -> Reason:
        if job is self.head and self.reservation is not None:
            return self._gang_fit(job, self.reservation)
        if job.job in self.held_back and self.head is not None and self.reservation is not None:
            return Reason("RESERVED", {"for": self.head.job, "from": self.reservation.at})
        return Reason("AHEAD", {"n": ahead})

    def _gang_fit(self, job: Waiting, reservation: Reservation) -> Reason:
        nodes = {node.id: node for node in self.snapshot.nodes if not node.closed_because}
        on = list(reservation.spare)
        one = nodes[on[0]] if len(on) == 1 else None
        return Reason(
            "GANG_FIT",
            {
                "need": job.num_devices,
                "have": sum(self.board.free[node] for node in on),
                "total": sum(nodes[node].devices for node in on),
                "node": one.name if one else None,
                "holders": self._holders(on),
                "freed_at": reservation.at,
            },
        )

    def _holders(self, nodes: Sequence[str]) -> list[str]:
        here = set(nodes)
        held: Mapping[str, bool] = {a.job: True for a in self.snapshot.running if here & a.devices.keys()}
        placed = {p.job: True for p in self.placings if any(node in here for node, _ in p.seats)}
        return sorted({**held, **placed})
