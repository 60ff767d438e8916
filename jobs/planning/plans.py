"""What the planner is told of a pool's devices, and the plan of a spec there as it is kept with a run."""

from __future__ import annotations

import dataclasses
from typing import Any

from django.db.models import Count, Min

from engine import planner
from engine.hardware import peaks
from engine.planner import Calibration, HardwareProfile, Plan
from engine.spec.spec import Spec
from jobs.models import Device, DeviceProfile, Pool
from jobs.planning import calibration, links

# Figure of a probe -> what the planner calls it.
GEMM = {dtype: f"gemm_{dtype}_flops_per_s" for dtype in ("fp32", "tf32", "bf16", "fp16")}


def plan_of(spec: Spec, pool: Pool) -> dict[str, Any]:
    """The plan of a spec in a pool, with what it would be without any correction: a job keeps both from before its
    start, so that what is learnt later changes nothing of what it is judged by. Without a correction `raw` is the
    plan's own; `learnt_from` counts the runs behind each correction, by phase. A fabric test has no plan: it is what
    plans are made of."""
    if spec.kind == "fabric_test":
        return {}
    profile = known_of(pool)
    if profile is None:
        return planner.plan(spec).to_json()
    learnt = calibration_of(profile)
    plan = planner.plan(spec, profile, learnt)
    return plan.to_json() | {
        "raw": raw_of(planner.plan(spec, profile, dtype=plan.dtype)),
        "learnt_from": {c.phase: c.n for c in learnt.corrections if c.dtype == plan.dtype} if learnt else {},
    }


def raw_of(plan: Plan) -> dict[str, float]:
    """The points of a plan by the fields of jobs.verdicts.forecasts."""
    points: dict[str, float] = {"memory_bytes": plan.peak.total_bytes}
    if plan.time is not None:
        points |= {name: span.point for name, span in plan.time.phases.items()}
        points |= {"step_s": plan.time.step_s.point, "tokens_per_s": plan.time.tokens_per_s.point}
        if plan.time.energy_j is not None:
            points["energy_j"] = plan.time.energy_j.point
    return points


def profile_of(pool: Pool) -> HardwareProfile | None:
    """Of the device with the least memory in the pool, which any of its jobs may get; None where nobody has measured
    it and no table knows it."""
    rows = (
        Device.objects.filter(node__pool=pool, is_present=True)
        .order_by()
        .values("name", "kind", "cores", "node_id")
        .annotate(memory=Min("memory_bytes"), count=Count("id"))
    )
    found = sorted(rows, key=lambda row: (row["memory"] or 0, row["name"], row["node_id"]))
    if not found:
        return None
    row, per_node = found[0], max(row["count"] for row in found)
    profile = of_device(row["name"], row["kind"], row["cores"], row["memory"])
    if profile is None:
        return None
    return dataclasses.replace(
        profile,
        devices_per_node=per_node,
        price_per_device_hour=pool.price_per_device_hour,
        currency=pool.currency,
        **links.of_pool(pool, row["name"]),
    )


def known_of(pool: Pool) -> HardwareProfile | None:
    """As `profile_of`, and of a device that nobody has measured at least kind and memory; None for an empty pool."""
    profile = profile_of(pool)
    if profile is not None:
        return profile
    device = Device.objects.filter(node__pool=pool, is_present=True).order_by("memory_bytes", "id").first()
    if device is None:
        return None
    return HardwareProfile(
        name=device.name, kind="cuda" if device.kind == "cuda" else "cpu", standing="estimated",
        source="what the node says of it", flops_per_s={}, memory_bytes=device.memory_bytes,
        price_per_device_hour=pool.price_per_device_hour, currency=pool.currency,
    )  # fmt: skip


def num_devices(pool: Pool) -> int:
    """That one job could hold at once."""
    rows = Device.objects.filter(node__pool=pool, is_present=True).order_by().values("node_id")
    counts = [row["count"] for row in rows.annotate(count=Count("id"))]
    most = sum(counts) if pool.allows_several_nodes else max(counts, default=0)
    return min(most, pool.max_gang or most)


def of_device(name: str, kind: str, cores: float | None, memory_bytes: int | None) -> HardwareProfile | None:
    """What a probe has measured, completed by the table of peaks where that knows the device."""
    peak = peaks.find_peak(name) if kind == "cuda" else None
    base = dataclasses.replace(planner.profile_from_peak(peak), name=name) if peak else None
    stored = _newest(name, kind, cores)
    if stored is None:
        return base and dataclasses.replace(base, memory_bytes=memory_bytes or base.memory_bytes)
    return _measured(stored, base, memory_bytes)


def calibration_of(profile: HardwareProfile) -> Calibration | None:
    """What ended runs have taught of such devices; None before the first."""
    return calibration.of_device(profile.name)


def _newest(name: str, kind: str, cores: float | None) -> DeviceProfile | None:
    rows = DeviceProfile.objects.filter(name=name, kind=kind)
    return rows.filter(cores=cores).first() if cores is not None else rows.filter(cores__isnull=True).first()


def _measured(
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
