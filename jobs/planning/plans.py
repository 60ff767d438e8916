"""Hardware profiles of pools and the plan that is stored with a run."""

from __future__ import annotations

import dataclasses
from typing import Any

from django.db.models import Count, Min

from engine import planner
from engine.hardware import peaks
from engine.planner import HardwareProfile, Plan
from engine.spec.spec import Spec
from jobs.models import Device, DeviceProfile, Pool
from jobs.planning import calibration, links

# Number format -> figure of a probe.
GEMM = {dtype: f"gemm_{dtype}_flops_per_s" for dtype in ("fp32", "tf32", "bf16", "fp16")}


def build_plan(spec: Spec, pool: Pool) -> dict[str, Any]:
    """Plan a spec in a pool, with and without corrections.

    A job stores both before it starts, so that later corrections do not change what it is judged by. `raw` holds the
    uncorrected figures, `learnt_from` the number of runs behind each correction by phase. A fabric test has no plan.
    """
    if spec.kind == "fabric_test":
        return {}
    profile = get_profile_or_capacity(pool)
    if profile is None:
        return planner.plan(spec).to_json()
    learnt = calibration.get_calibration(profile.name)
    plan = planner.plan(spec, profile, learnt)
    return plan.to_json() | {
        "raw": point_estimates(planner.plan(spec, profile, dtype=plan.dtype)),
        "learnt_from": {c.phase: c.n for c in learnt.corrections if c.dtype == plan.dtype} if learnt else {},
    }


def point_estimates(plan: Plan) -> dict[str, float]:
    """Return the point estimates of a plan by the fields of jobs.verdicts.forecasts."""
    points: dict[str, float] = {"memory_bytes": plan.peak.total_bytes}
    if plan.time is not None:
        points |= {name: span.point for name, span in plan.time.phases.items()}
        points |= {"step_s": plan.time.step_s.point, "tokens_per_s": plan.time.tokens_per_s.point}
        if plan.time.energy_j is not None:
            points["energy_j"] = plan.time.energy_j.point
    return points


def get_profile(pool: Pool) -> HardwareProfile | None:
    """Return the profile of the pool's device with the least memory, which any of its jobs may get; None where it is
    neither probed nor in the table of peaks."""
    rows = (
        Device.objects.filter(node__pool=pool, is_present=True)
        .order_by()
        .values("name", "kind", "cores", "node_id", "node__facts__memory_bytes")
        .annotate(memory=Min("memory_bytes"), count=Count("id"))
    )
    found = sorted(rows, key=lambda row: (row["memory"] or 0, row["name"], row["node_id"]))
    if not found:
        return None
    row, per_node = found[0], max(row["count"] for row in found)
    profile = build_profile(row["name"], row["kind"], row["cores"], row["memory"])
    if profile is None:
        return None
    return dataclasses.replace(
        profile,
        devices_per_node=per_node,
        node_memory_bytes=_smallest([row["node__facts__memory_bytes"] for row in found]),
        price_per_device_hour=pool.price_per_device_hour,
        currency=pool.currency,
        **links.get_links(pool, row["name"]),
    )


def get_profile_or_capacity(pool: Pool) -> HardwareProfile | None:
    """As `get_profile`; for an unknown device a profile of kind and memory only. None for an empty pool."""
    profile = get_profile(pool)
    if profile is not None:
        return profile
    devices = Device.objects.filter(node__pool=pool, is_present=True).select_related("node")
    device = devices.order_by("memory_bytes", "id").first()
    if device is None:
        return None
    return HardwareProfile(
        name=device.name, kind="cuda" if device.kind == "cuda" else "cpu", standing="estimated",
        source="what the node reports", flops_per_s={}, memory_bytes=device.memory_bytes,
        node_memory_bytes=device.node.facts.get("memory_bytes"),
        price_per_device_hour=pool.price_per_device_hour, currency=pool.currency,
    )  # fmt: skip


def _smallest(sizes: list[int | None]) -> int | None:
    """Return the host memory of the smallest node; None where one does not report it."""
    known = [size for size in sizes if size]
    return min(known) if len(known) == len(sizes) else None


def max_devices_per_job(pool: Pool) -> int:
    """Number of devices that one job could hold at once."""
    rows = Device.objects.filter(node__pool=pool, is_present=True).order_by().values("node_id")
    counts = [row["count"] for row in rows.annotate(count=Count("id"))]
    most = sum(counts) if pool.allows_several_nodes else max(counts, default=0)
    return min(most, pool.max_gang or most)


def build_profile(
    name: str, kind: str, cores: float | None, memory_bytes: int | None
) -> HardwareProfile | None:
    """Combine the newest probe of a device with its row in the table of peaks; None without either."""
    peak = peaks.find_peak(name) if kind == "cuda" else None
    base = dataclasses.replace(planner.profile_from_peak(peak), name=name) if peak else None
    stored = _newest_probe(name, kind, cores)
    if stored is None:
        return base and dataclasses.replace(base, memory_bytes=memory_bytes or base.memory_bytes)
    return _measured_profile(stored, base, memory_bytes)


def _newest_probe(name: str, kind: str, cores: float | None) -> DeviceProfile | None:
    rows = DeviceProfile.objects.filter(name=name, kind=kind)
    return rows.filter(cores=cores).first() if cores is not None else rows.filter(cores__isnull=True).first()


def _measured_profile(
    stored: DeviceProfile, base: HardwareProfile | None, memory_bytes: int | None
) -> HardwareProfile:
    figures = {name: float(figure["value"]) for name, figure in stored.figures.items()}
    flops = {dtype: figures[name] for dtype, name in GEMM.items() if name in figures}
    about: dict[str, Any] = {
        "name": stored.name,
        "kind": "cuda" if stored.kind == "cuda" else "cpu",
        "standing": "measured",
        "source": f"probe of {stored.measured_at:%Y-%m-%d}, torch {stored.torch}",
        "flops_per_s": flops,
        "memory_bytes": memory_bytes,
        "memory_bytes_per_s": figures.get("copy_bytes_per_s"),
        "optimiser_bytes_per_s": figures.get("optimiser_bytes_per_s"),
        "curves": {
            dtype: [(int(size), rate) for size, rate in curve] for dtype, curve in stored.curves.items()
        },
        "compute_share": planner.PROBED_REACH,
        "memory_share": planner.PROBED_REACH,
    }
    if "launch_s" in figures:
        about["operation_s"] = figures["launch_s"]
    if base is not None:
        return dataclasses.replace(base, **about)
    return HardwareProfile(**about)
