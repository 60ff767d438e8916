"""What fabric tests have found of the links between a pool's devices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from engine.hardware import fabric_test
from engine.planner import Link
from jobs import series
from jobs.models import Job, Lease, LinkProfile, Pool, Run

# Which collective's fit stands for the links: what training itself uses, else plain sends.
BEST = ("backend", "send_far", "send")


def record(job: Job) -> list[LinkProfile]:
    """Fit the sizes that a fabric test has measured, in the place of what an earlier end of it left."""
    lease = (
        Lease.objects.filter(attempt__job=job, rank=0)
        .order_by("-attempt__number")
        .select_related("device", "attempt")
    )
    last, points = lease.first(), measured(job.run)
    if last is None:
        return []
    rows = []
    for algorithm in fabric_test.ALGORITHMS:
        found = fabric_test.fit_link(algorithm, job.num_devices, times_of(points, algorithm))
        if found is None:
            continue
        rows.append(
            LinkProfile(
                run=job.run, pool_id=job.pool_id, device=last.device.name, algorithm=algorithm.name,
                is_between_nodes=algorithm.name == "send_far" or last.attempt.num_nodes > 1,
                num_devices=job.num_devices, latency_s=found.latency_s, bytes_per_s=found.bytes_per_s,
                error_share=found.error_share, num_sizes=found.n, measured_at=job.ended_at or timezone.now(),
            )
        )  # fmt: skip
    with transaction.atomic():
        LinkProfile.objects.filter(run=job.run).delete()
        LinkProfile.objects.bulk_create(rows)
    return rows


def measured(run: Run) -> list[dict[str, float]]:
    """One row a message size, in their order: what was measured there, by metric."""
    names = ["message_bytes"]
    for algorithm in fabric_test.ALGORITHMS:
        names += [f"{algorithm.name}_{what}" for what in ("s", "bus_bytes_per_s", "sent_bytes")]
    rows: dict[int, dict[str, float]] = {}
    for line in series.read([run.id], names, points=fabric_test.MAX_SIZES, sources={"run"}):
        for step, value in zip(line.x.tolist(), line.mean.tolist(), strict=True):
            rows.setdefault(int(step), {})[line.metric] = float(value)
    return [row for _, row in sorted(rows.items()) if "message_bytes" in row]


def times_of(points: list[dict[str, float]], algorithm: fabric_test.Algorithm) -> list[tuple[float, float]]:
    """(message bytes, seconds) of one algorithm."""
    name = f"{algorithm.name}_s"
    return [(row["message_bytes"], row[name]) for row in points if name in row]


def of_pool(pool: Pool, device: str) -> Mapping[str, Any]:
    """The newest links within and between nodes, by the names of planner.HardwareProfile; none that nobody measured."""
    rows = LinkProfile.objects.filter(pool=pool, device=device, algorithm__in=BEST)
    found: dict[str, Link] = {}
    for name, is_between in (("within_node", False), ("between_nodes", True)):
        newest = rows.filter(is_between_nodes=is_between).first()
        if newest is None:
            continue
        fits = {row.algorithm: row for row in rows.filter(run=newest.run_id, is_between_nodes=is_between)}
        best = next(fits[algorithm] for algorithm in BEST if algorithm in fits)
        found[name] = Link(best.latency_s, best.bytes_per_s)
    return found
