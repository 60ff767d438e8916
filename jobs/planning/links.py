"""Links between the devices of a pool, as measured by fabric tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from engine.hardware import fabric_test
from engine.planner import Link
from jobs import series
from jobs.models import Job, Lease, LinkProfile, Pool, Run

# Algorithms whose fit is used for planning, best first: the one of training, else plain sends.
PREFERRED = ("backend", "send_far", "send")


def record_links(job: Job) -> list[LinkProfile]:
    """Fit the points of an ended fabric test and store the fits in place of those of an earlier end."""
    lease = (
        Lease.objects.filter(attempt__job=job, rank=0)
        .order_by("-attempt__number")
        .select_related("device", "attempt")
    )
    last, points = lease.first(), get_points(job.run)
    if last is None:
        return []
    rows = []
    for algorithm in fabric_test.ALGORITHMS:
        found = fabric_test.fit_link(algorithm, job.num_devices, get_times(points, algorithm))
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


def get_points(run: Run) -> list[dict[str, float]]:
    """Return the measured values of a fabric test by metric, one row per message size, smallest first."""
    names = ["message_bytes"]
    for algorithm in fabric_test.ALGORITHMS:
        names += [f"{algorithm.name}_{suffix}" for suffix in ("s", "bus_bytes_per_s", "sent_bytes")]
    rows: dict[int, dict[str, float]] = {}
    for line in series.read([run.id], names, points=fabric_test.MAX_SIZES, sources={"run"}):
        for step, value in zip(line.x.tolist(), line.mean.tolist(), strict=True):
            rows.setdefault(int(step), {})[line.metric] = float(value)
    return [row for _, row in sorted(rows.items()) if "message_bytes" in row]


def get_times(points: list[dict[str, float]], algorithm: fabric_test.Algorithm) -> list[tuple[float, float]]:
    """Return (message bytes, seconds) of one algorithm."""
    name = f"{algorithm.name}_s"
    return [(row["message_bytes"], row[name]) for row in points if name in row]


def get_links(pool: Pool, device: str) -> Mapping[str, Any]:
    """Return the newest measured links by the field names of planner.HardwareProfile."""
    rows = LinkProfile.objects.filter(pool=pool, device=device, algorithm__in=PREFERRED)
    found: dict[str, Link] = {}
    for name, is_between in (("within_node", False), ("between_nodes", True)):
        newest = rows.filter(is_between_nodes=is_between).first()
        if newest is None:
            continue
        fits = {row.algorithm: row for row in rows.filter(run=newest.run_id, is_between_nodes=is_between)}
        best = next(fits[algorithm] for algorithm in PREFERRED if algorithm in fits)
        found[name] = Link(best.latency_s, best.bytes_per_s)
    return found
