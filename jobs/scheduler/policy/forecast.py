"""When devices come free, if everything runs to its time limit: the head's reservation, and expected starts."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

import msgspec

from jobs.scheduler.policy.admission import Gates, cost_device_s
from jobs.scheduler.policy.free_devices import Board, Places
from jobs.scheduler.policy.reasons import Reason
from jobs.scheduler.policy.snapshot import Snapshot, Waiting


class Release(msgspec.Struct, frozen=True):
    """Devices that come back, at the latest at `at`."""

    at: float
    team: int
    places: Places


@dataclass(frozen=True)
class Reservation:
    """Where and when the head of the queue starts. `spare`: its nodes, with the devices of each that it does not
    need then."""

    at: float | None  # None: a job that holds its devices has no known end
    spare: Mapping[str, int]

    def allows(self, places: Places, until: float) -> bool:
        """Whether work at `places` up to `until` leaves the head's start where it is."""
        if self.at is not None and until <= self.at:
            return True
        return all(needed <= self.spare.get(node, needed) for node, needed in places.items())

    def spare_place(self, num_devices: int, free: Places) -> Places | None:
        for node, spare in self.spare.items():
            if min(spare, free[node]) >= num_devices:
                return {node: num_devices}
        return None

    def after(self, places: Places, until: float) -> Reservation:
        """The same reservation, with fewer spare devices once such work was let in."""
        if self.at is not None and until <= self.at:
            return self
        return replace(self, spare={node: n - places.get(node, 0) for node, n in self.spare.items()})


def reserve(head: Waiting, board: Board, releases: Iterable[Release]) -> Reservation:
    """The earliest place where the whole gang fits."""
    future = board.copy()
    at = None
    places = None
    for release in sorted(releases, key=lambda release: release.at):
        if at is not None and release.at > at:  # whatever comes free at one moment is looked at together
            places = _fullest(future, board, head)
            if places is not None:
                break
        future.give(release.places)
        at = release.at
    places = places or _fullest(future, board, head)
    if places is None:
        return Reservation(None, _most_promising(board, head))
    return Reservation(at, {node: future.free[node] - needed for node, needed in places.items()})


def _fullest(future: Board, now: Board, head: Waiting) -> Places | None:
    """Of the nodes where the gang will fit, the one with most free already: least is kept idle for it."""
    places = future.find(head.num_devices, head.home, head.may_span_nodes)
    if places is None or len(places) > 1 or head.home in places:
        return places
    fitting = [node for node, free in future.free.items() if free >= head.num_devices]
    return {max(fitting, key=lambda node: now.free[node]): head.num_devices}


def _most_promising(board: Board, head: Waiting) -> Mapping[str, int]:
    """Without a known end: the node with most free devices, all of them kept; for a gang over nodes, all nodes."""
    if head.may_span_nodes:
        return {node: 0 for node in board.free if board.groups.get(node)}
    return {max(board.free, key=lambda node: board.free[node]): 0} if board.free else {}


def expected_starts(
    snapshot: Snapshot,
    waiting: Sequence[Waiting],
    why: Mapping[str, Reason | None],
    gates: Gates,
    board: Board,
    releases: Iterable[Release],
) -> dict[str, float]:
    """Job -> start, for those that can be derived: strictly in order, nobody passing, everything to its limit. Jobs
    behind their team's quota are started as soon as their team's devices come back, those behind a budget when the
    next month begins."""
    return _Simulation(snapshot, gates, board, releases).run(
        job for job in waiting if (reason := why[job.job]) is None or reason.code in ("QUOTA", "BUDGET")
    )


class _Simulation:
    def __init__(self, snapshot: Snapshot, gates: Gates, board: Board, releases: Iterable[Release]) -> None:
        self.now = snapshot.now
        self.month_ends_at = snapshot.month_ends_at  # None once the next one has begun
        self.is_next_month = False
        self.gates = gates
        self.board = board.copy()
        self.held: Counter[int] = Counter(gates.held)
        self.committed = defaultdict(float, gates.committed)
        self.tick = count()
        self.ahead = [(r.at, next(self.tick), r.team, r.places) for r in releases]
        heapq.heapify(self.ahead)
        self.line: deque[Waiting] = deque()
        self.put_off: dict[int, deque[Waiting]] = defaultdict(deque)  # team -> jobs behind its quota
        self.next_month: list[Waiting] = []  # jobs behind a budget
        self.starts: dict[str, float] = {}

    def run(self, jobs: Iterable[Waiting]) -> dict[str, float]:
        self.line.extend(jobs)
        while self.line or self.next_month or any(self.put_off.values()):
            if not self.line:
                if not self._step():
                    break
                continue
            job = self.line[0]
            if not self._put_aside(job):
                while self.line[0] is job and not self._start(job):
                    if not self._step():
                        return self.starts
                if self.line[0] is not job:  # a month has begun, and with it others come first
                    continue
            self.line.popleft()
        return self.starts

    def _put_aside(self, job: Waiting) -> bool:
        if self.put_off[job.team] or self.gates.is_over_quota(job, self.held):
            self.put_off[job.team].append(job)
            return True
        return self._is_over_budget(job)

    def _is_over_budget(self, job: Waiting) -> bool:
        """It waits for the next month then; what even that is short for has no known start."""
        if self.gates.over_budget(job, self.committed, self.is_next_month) is None:
            return False
        if not self.is_next_month:
            self.next_month.append(job)
        return True

    def _step(self) -> bool:
        """On to the next moment at which devices come back, or a month begins. False: nothing more happens."""
        ends_at = self.month_ends_at
        if ends_at is not None and not (self.ahead and self.ahead[0][0] < ends_at):
            self._begin_month(ends_at)
            return True
        if not self.ahead:
            return False
        at, _, team, places = heapq.heappop(self.ahead)
        self.now = max(self.now, at)
        self.board.give(places)
        self.held[team] -= sum(places.values())
        behind = self.put_off[team]
        while behind and not self.gates.is_over_quota(behind[0], self.held):
            if not (self._is_over_budget(behind[0]) or self._start(behind[0])):
                break
            behind.popleft()
        return True

    def _begin_month(self, at: float) -> None:
        """Budgets are whole again, but for what runs on; who waited for it stands before all that still wait."""
        self.now, self.month_ends_at, self.is_next_month = max(self.now, at), None, True
        self.committed = defaultdict(float)
        for ends_at, _, team, places in self.ahead:
            self.committed[team] += (ends_at - at) * sum(places.values())
        self.line.extendleft(reversed(self.next_month))
        self.next_month.clear()

    def _start(self, job: Waiting) -> bool:
        places = self.board.find(job.num_devices, job.home, job.may_span_nodes)
        if places is None:
            return False
        self.board.take(places)
        self.held[job.team] += job.num_devices
        self.committed[job.team] += cost_device_s(job)
        self.starts[job.job] = self.now
        heapq.heappush(self.ahead, (self.now + job.lasts_s, next(self.tick), job.team, places))
        return True
