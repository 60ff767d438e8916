"""Simulator of a pool under the real policy: generated queues whose real starts are known afterwards."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

from jobs.scheduler.policy import decide
from jobs.scheduler.policy.likely import LikelyDurations
from jobs.scheduler.policy.snapshot import NodeView, PoolSnapshot, RunningAttempt, TeamShare, WaitingJob

MARGIN_S = 60.0  # from a time limit to the end
NOW = 1_000_000.0
LIMITS = {1: None, 2: 6}  # team -> devices that it may hold


@dataclass
class SimulatedJob:
    view: WaitingJob
    real_s: float
    began_at: float | None = None
    devices: dict[str, tuple[str, ...]] | None = None

    @property
    def ends_at(self) -> float:
        assert self.began_at is not None
        return self.began_at + self.real_s


@dataclass
class SimulatedPool:
    """Nodes, jobs that run and jobs that wait. `starts`: job -> real start."""

    devices: dict[str, int]
    waiting: dict[str, SimulatedJob]
    running: dict[str, SimulatedJob]
    starts: dict[str, float]
    now: float = NOW
    used: Counter[int] = field(default_factory=Counter)  # team -> device-seconds of what has run

    def snapshot(self) -> PoolSnapshot:
        held = {d for job in self.running.values() for some in (job.devices or {}).values() for d in some}
        nodes = [
            NodeView(n, n, k, tuple(d for i in range(k) if (d := f"{n}-{i}") not in held), group="one")
            for n, k in sorted(self.devices.items())
        ]
        shares = {
            team: TeamShare(used_device_s=self.used[team], borrowable=limit) for team, limit in LIMITS.items()
        }
        return PoolSnapshot(
            self.now, "simulated", nodes, [self._running(job) for job in self.running.values()],
            [job.view for job in self.waiting.values()], shares,
        )  # fmt: skip

    def _running(self, job: SimulatedJob) -> RunningAttempt:
        assert job.began_at is not None and job.devices is not None
        return RunningAttempt(
            int(job.view.job[1:]), job.view.job, job.view.team, job.view.priority,
            {n: len(some) for n, some in job.devices.items()}, job.began_at + job.view.max_duration_s,
            job.began_at, job.began_at, held_since=job.began_at, is_preemptible=False,
        )  # fmt: skip

    def run(self) -> None:
        """Until every job has started, or none can."""
        while self.waiting:
            for one in decide(self.snapshot()).assignments:
                job = self.waiting.pop(one.job)
                job.began_at, job.devices = self.now, dict(one.node_devices)
                self.running[one.job] = job
                self.starts[one.job] = self.now
            if not self.running:
                return
            first = min(self.running.values(), key=lambda job: job.ends_at)
            passed_s = first.ends_at - self.now
            for job in self.running.values():
                self.used[job.view.team] += round(job.view.num_devices * passed_s)
            self.now = first.ends_at
            self.running = {n: job for n, job in self.running.items() if job.ends_at > self.now}


def generate(seed: int, *, num_waiting: int = 25, teams: int = 2, gangs: bool = True) -> SimulatedPool:
    """A busy pool of 1 to 4 nodes, with a queue of several priorities, teams and sizes.

    Real durations are 10 to 100 % of the limits; one of eight stops much earlier, as a paused or failed job does.
    """
    pick = random.Random(seed)
    size = pick.choice((1, 2, 4, 8))
    devices = {f"n{n}": size for n in range(pick.randint(1, 4))}

    def job(number: int, most: int) -> SimulatedJob:
        limit = float(pick.randint(300, 20_000))
        share = 0.02 if pick.random() < 0.125 else pick.uniform(0.1, 1.0)
        count = pick.randint(1, most) if gangs else 1
        is_wide = gangs and len(devices) > 1 and most == size and pick.random() < 0.1
        view = WaitingJob(
            f"j{number}", pick.randint(1, teams), pick.choice((0, 1, 1, 2)), size + 1 if is_wide else count,
            limit + MARGIN_S, NOW - 10_000 + number, may_span_nodes=is_wide,
        )  # fmt: skip
        return SimulatedJob(view, share * limit)

    running: dict[str, SimulatedJob] = {}
    number = 0
    for node, total in devices.items():
        free = list(range(total))
        while free:
            number += 1
            one = job(number, 1 if size == 1 else len(free) // 2 or 1)
            taken, free = free[: one.view.num_devices], free[one.view.num_devices :]
            one.began_at = NOW - pick.uniform(0, 0.99) * one.real_s
            one.devices = {node: tuple(f"{node}-{index}" for index in taken)}
            running[one.view.job] = one
    waiting = {}
    for _ in range(num_waiting):
        number += 1
        one = job(number, size)
        waiting[one.view.job] = one
    return SimulatedPool(devices, waiting, running, {})


def likely_of(pool: SimulatedPool, noise: float, seed: int) -> LikelyDurations:
    """Estimates of the real durations, off by a log-normal factor."""
    pick = random.Random(seed)

    def estimate(job: SimulatedJob, left_s: float) -> float:
        return min(left_s * pick.lognormvariate(0.0, noise), job.view.max_duration_s)

    ends = {
        int(name[1:]): pool.now + estimate(job, job.ends_at - pool.now) for name, job in pool.running.items()
    }
    durations = {name: estimate(job, job.real_s) for name, job in pool.waiting.items()}
    return LikelyDurations(ends, durations)
