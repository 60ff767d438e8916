"""Likely starts of waiting jobs, from a simulation with likely durations."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, count

from msgspec.structs import replace

from jobs.scheduler.policy.admission import AdmissionControl
from jobs.scheduler.policy.backfill import BackfillPass
from jobs.scheduler.policy.forecast import Release, expected_starts
from jobs.scheduler.policy.free_devices import Allocation, build_free_devices
from jobs.scheduler.policy.order import order_jobs
from jobs.scheduler.policy.snapshot import PoolSnapshot, RunningAttempt, WaitingJob

# Jobs from the head on that are simulated with backfill. The ones behind them are simulated in order: a pass with
# backfill at every end costs the square of the jobs, and 10,000 would take minutes.
BACKFILLED = 200
KNOWN_SHARE = 0.5  # of the jobs before one; with fewer known durations its start is not known


@dataclass(frozen=True)
class LikelyStart:
    """The likely start of one waiting job, and how many of the jobs before it have a known duration."""

    at: float | None  # None: not known
    num_before: int  # running jobs and those ahead in the queue
    num_unknown: int  # of them without a pace, plan or history


@dataclass(frozen=True)
class LikelyDurations:
    """Likely ends and durations, None where nothing is known. A missing key is not known either."""

    ends: Mapping[int, float | None]  # running attempt -> unix time
    durations: Mapping[str, float | None]  # waiting job -> seconds from its assignment to its end


def likely_starts(snapshot: PoolSnapshot, likely: LikelyDurations) -> dict[str, LikelyStart]:
    """Return waiting job -> likely start. An unknown duration counts with its time limit. Preemption and jobs that come
    later are not simulated. A job that no release lets start has no likely start."""
    queue = order_jobs(snapshot)
    times = _start_in_order(snapshot, queue, likely)
    head = queue[:BACKFILLED]
    with_backfill = _Simulation(snapshot, likely).run(head)
    times |= {job.job: with_backfill.get(job.job) for job in head}
    num_running = len(snapshot.running)
    unknown_running = sum(likely.ends.get(a.attempt) is None for a in snapshot.running)
    unknown_ahead = accumulate((likely.durations.get(job.job) is None for job in queue), initial=0)
    found = {}
    for index, (job, ahead) in enumerate(zip(queue, unknown_ahead, strict=False)):
        before, unknown = num_running + index, unknown_running + ahead
        is_known = unknown == 0 or before - unknown >= KNOWN_SHARE * before
        found[job.job] = LikelyStart(times.get(job.job) if is_known else None, before, unknown)
    return found


def latest_with_backfill(snapshot: PoolSnapshot) -> dict[str, float]:
    """Return job -> start if all run to their time limits and others backfill, for the first jobs.

    Backfill protects the head only, so a job behind it may start later than in the order of the queue.
    """
    return _Simulation(snapshot, LikelyDurations({}, {})).run(order_jobs(snapshot)[:BACKFILLED])


def _start_in_order(
    snapshot: PoolSnapshot, queue: Sequence[WaitingJob], likely: LikelyDurations
) -> dict[str, float | None]:
    admission = AdmissionControl(snapshot)
    reasons = {job.job: admission.check(job) for job in queue}
    shortened = [replace(job, max_duration_s=_duration(job, likely)) for job in queue]
    releases = [
        Release(end, a.team, a.devices) for a in snapshot.running if (end := _end(a, likely)) is not None
    ]
    starts = expected_starts(snapshot, shortened, reasons, admission, build_free_devices(snapshot), releases)
    return dict(starts)


def _end(attempt: RunningAttempt, likely: LikelyDurations) -> float | None:
    end = likely.ends.get(attempt.attempt)
    return attempt.ends_at if end is None else end


def _duration(job: WaitingJob, likely: LikelyDurations) -> float:
    found = likely.durations.get(job.job)
    return job.max_duration_s if found is None else min(found, job.max_duration_s)


class _Simulation:
    """Ends and starts one after the other. Reservations go by time limits, as those of the scheduler do."""

    def __init__(self, snapshot: PoolSnapshot, likely: LikelyDurations) -> None:
        self.snapshot = snapshot
        self.now = snapshot.now
        self.likely = likely
        self.used: Counter[int] = Counter()  # team -> device-seconds since the snapshot
        self.admission = AdmissionControl(snapshot)
        self.free_devices = build_free_devices(snapshot)
        self.sequence = count()
        self.ends: list[tuple[float, int, int, Allocation]] = []  # heap: end, key, team, devices
        self.limits: dict[int, Release] = {}  # key -> its latest end
        for attempt in snapshot.running:
            if (end := _end(attempt, likely)) is not None:
                self._add(max(end, self.now), attempt.ends_at, attempt.team, attempt.devices)

    def _add(self, end: float, limit: float | None, team: int, devices: Allocation) -> None:
        key = next(self.sequence)
        heapq.heappush(self.ends, (end, key, team, devices))
        if limit is not None:
            self.limits[key] = Release(limit, team, devices)

    def run(self, jobs: Sequence[WaitingJob]) -> dict[str, float]:
        queue = {job.job: job for job in jobs}
        starts: dict[str, float] = {}
        while queue:
            for job, allocation in self._pass(queue.values()):
                starts[job.job] = self.now
                del queue[job.job]
                limit = self.now + job.max_duration_s
                self._add(self.now + _duration(job, self.likely), limit, job.team, allocation)
            if not self.ends:
                break
            self._advance()
        return starts

    def _pass(self, jobs: Collection[WaitingJob]) -> list[tuple[WaitingJob, Allocation]]:
        if self.free_devices.total == 0:
            return []
        one = BackfillPass(self.now, self.admission, self.free_devices, list(self.limits.values()))
        return list(one.starts(self._order(jobs)))

    def _order(self, jobs: Collection[WaitingJob]) -> Collection[WaitingJob]:
        """Order again by what the teams have used until now: fair share moves jobs while they wait."""
        teams = {job.team for job in jobs}
        if len(teams) == 1:
            return jobs
        shares = {
            team: replace(
                share := self.snapshot.share(team), used_device_s=share.used_device_s + self.used[team]
            )
            for team in teams
        }
        now = replace(self.snapshot, waiting=list(jobs), shares=shares, running=())
        return order_jobs(now, self.admission.held)

    def _advance(self) -> None:
        """Go to the next end, with all that end at the same time."""
        passed_s = max(0.0, self.ends[0][0] - self.now)
        for team, held in self.admission.held.items():
            self.used[team] += round(held * passed_s)
        self.now += passed_s
        while self.ends and self.ends[0][0] <= self.now:
            _, key, team, devices = heapq.heappop(self.ends)
            self.limits.pop(key, None)
            self.free_devices.release(devices)
            self.admission.held[team] -= sum(devices.values())
