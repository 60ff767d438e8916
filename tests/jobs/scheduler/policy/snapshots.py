"""Builders of pool snapshots, and short forms of the decisions for them."""

from __future__ import annotations

import random
from typing import Any

from msgspec.structs import replace

from jobs.scheduler.policy import decide
from jobs.scheduler.policy.snapshot import NodeView, PoolSnapshot, RunningAttempt, TeamShare, WaitingJob

NOW = 1_000_000.0
LOW, NORMAL, HIGH = 0, 1, 2


def node(name: str, devices: int, held: int = 0, **fields: Any) -> NodeView:
    """Return a node whose first `held` devices are held."""
    free = tuple(f"{name}-{index}" for index in range(held, devices))
    return NodeView(id=name, name=name, devices=devices, free=free, **fields)


def running(
    number: int, places: dict[str, int], ends_in: float | None = 1000.0, **fields: Any
) -> RunningAttempt:
    """Return attempt `number`, of job j<number>, which started 5000 s ago and has saved 10 s ago."""
    values: dict[str, Any] = {"team": 1, "priority": NORMAL, "began_at": NOW - 5000, "saved_at": NOW - 10}
    return RunningAttempt(
        attempt=number, job=f"j{number}", devices=places,
        ends_at=None if ends_in is None else NOW + ends_in, **values | fields,
    )  # fmt: skip


def waiting(*counts: int, max_duration_s: float = 3600.0, **fields: Any) -> list[WaitingJob]:
    """Return jobs w0, w1, ... in order of age, which need so many devices."""
    values: dict[str, Any] = {"team": 1, "priority": NORMAL}
    return [
        WaitingJob(
            job=f"w{n}",
            num_devices=count,
            max_duration_s=max_duration_s,
            since=NOW - 100 + n,
            **values | fields,
        )
        for n, count in enumerate(counts)
    ]


def pool(*nodes: NodeView, **fields: Any) -> PoolSnapshot:
    values: dict[str, Any] = {"shares": {1: TeamShare("Research"), 2: TeamShare("Others")}}
    return PoolSnapshot(now=NOW, pool="default", nodes=nodes, **values | fields)


def placed(snapshot: PoolSnapshot) -> dict[str, tuple[str, ...]]:
    """Return the assignments: job -> device ids."""
    return {p.job: tuple(d for _, ids in p.node_devices for d in ids) for p in decide(snapshot).assignments}


def queued_as(snapshot: PoolSnapshot, job: str) -> tuple[str, float | None]:
    queue_position = decide(snapshot).positions[job]
    start = queue_position.expected_start
    return queue_position.reason.code, None if start is None else start - NOW


def random_pool(seed: int) -> PoolSnapshot:
    pick = random.Random(seed)
    nodes, runs = [], []
    for name in "abcd":
        held = pick.randint(1, 4)
        nodes.append(node(name, 4, held=held))
        runs += [running(len(runs) + 1, {name: 1}, pick.randint(100, 5000)) for _ in range(held)]
    jobs = [
        replace(job, max_duration_s=pick.randint(50, 6000))
        for job in waiting(*(pick.randint(1, 4) for _ in range(20)))
    ]
    return pool(*nodes, running=runs, waiting=jobs)


def first_queued(snapshot: PoolSnapshot) -> tuple[str, float | None] | None:
    """Return the first job that has to wait, with its expected start if no job came behind it."""
    queue = list(snapshot.waiting)
    for last in range(1, len(queue) + 1):
        positions = decide(replace(snapshot, waiting=queue[:last])).positions
        if positions:
            (job,) = positions
            return job, positions[job].expected_start
    return None
