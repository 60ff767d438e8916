"""Pools drawn in a line: nodes with free devices, what runs, what waits."""

from __future__ import annotations

from typing import Any

from jobs.scheduling.snapshot import NodeView, Running, Snapshot, TeamShare, Waiting

NOW = 1_000_000.0
LOW, NORMAL, HIGH = 0, 1, 2


def node(name: str, devices: int, held: int = 0, **fields: Any) -> NodeView:
    """A node whose first `held` devices are taken."""
    free = tuple(f"{name}-{index}" for index in range(held, devices))
    return NodeView(id=name, name=name, devices=devices, free=free, **fields)


def running(number: int, places: dict[str, int], ends_in: float | None = 1000.0, **fields: Any) -> Running:
    """Attempt `number` of job j<number>, which began and saved long ago."""
    values: dict[str, Any] = {"team": 1, "priority": NORMAL, "began_at": NOW - 5000, "saved_at": NOW - 10}
    return Running(
        attempt=number, job=f"j{number}", devices=places,
        ends_at=None if ends_in is None else NOW + ends_in, **values | fields,
    )  # fmt: skip


def waiting(*counts: int, lasts_s: float = 3600.0, **fields: Any) -> list[Waiting]:
    """Jobs w0, w1, ... in the order of their age, needing so many devices."""
    values: dict[str, Any] = {"team": 1, "priority": NORMAL}
    return [
        Waiting(job=f"w{n}", num_devices=count, lasts_s=lasts_s, since=NOW - 100 + n, **values | fields)
        for n, count in enumerate(counts)
    ]


def pool(*nodes: NodeView, **fields: Any) -> Snapshot:
    values: dict[str, Any] = {"shares": {1: TeamShare("Research"), 2: TeamShare("Others")}}
    return Snapshot(now=NOW, pool="default", nodes=nodes, **values | fields)
