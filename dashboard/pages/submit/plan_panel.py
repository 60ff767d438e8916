"""What the submit page predicts of a spec while it is typed: memory, time, cost, and better plans."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from dashboard.pages.submit import spec_check, spec_fields
from dashboard.pages.submit.spec_check import Draft
from engine import planner
from engine.hardware import peaks
from engine.planner import Calibration, DeviceProfile, Found, Plan, Range, StageMemory
from engine.spec.checks import Hardware, refuse_impossible
from engine.spec.spec import Spec, SpecError
from jobs.models import Pool
from jobs.planning import plans
from jobs.queue import job_actions

# Components of a device's memory, as planner.StageMemory names them.
PARTS = ("parameters", "gradients", "optimiser", "activations", "logits", "buffers", "framework")
MOMENTS = {
    "forward": "at the end of the forward pass",
    "loss": "when the backward pass begins, at the logits",
    "backward": "in the backward pass",
    "reduction": "when gradients are reduced",
    "update": "in the optimiser's update",
}
WHAT_IF_DEVICES = 8  # of a node that nobody here owns
MOST_DEVICES = 64
LAYOUT = ("data", "tensor", "stages")


@dataclass(frozen=True)
class Place:
    """The devices that a plan is made for: those of the pool, or ones that somebody asks 'what if' about."""

    profile: DeviceProfile | None
    calibration: Calibration | None
    hardware: Hardware | None
    devices: int
    what_if: str = ""


def of(draft: Draft, post: Mapping[str, str]) -> dict[str, object]:
    """The panel's context; no plan while the spec is impossible everywhere."""
    spec = draft.spec
    if spec is None or not _is_possible(spec):
        return {"plan": None}
    place = place_of(spec, post)
    plan = planner.plan(spec, place.profile, place.calibration)
    capacity = spec_check.capacity_of(spec.pool)
    memory_bytes = place.profile.memory_bytes if place.profile else None
    verdict = plan.fits(memory_bytes)
    by = post.get("plan.by", "time")
    return {
        "plan": plan,
        "spec": spec,
        "capacity": capacity,
        "place": place,
        "what_ifs": [peak.name for peak in peaks.PEAKS],
        "cost": spec_check.cost_of(spec) if not place.what_if else None,
        "peak": sizes(plan.peak),
        "binds": MOMENTS.get(plan.peak.binds, ""),
        "tokens_total": plan.tokens_per_step * spec.budget.steps,
        "verdict": verdict,
        "stages": [
            (stage, bar(stage, max(memory_bytes or 0, plan.peak.total_bytes))) for stage in plan.stages
        ],
        "nearest": nearest_of(spec, place) if verdict in ("tight", "will not fit") else None,
        "phases": phases_of(plan),
        "run_s": plan.of_all_steps(plan.time.step_s) if plan.time else None,
        "run_energy_j": plan.of_all_steps(plan.time.energy_j) if plan.time else None,
        "run_money": plan.of_all_steps(plan.time.money) if plan.time else None,
        "by": by,
        "search": best_of(spec, place, by) if "plan.search" in post else None,
    }


def place_of(spec: Spec, post: Mapping[str, str]) -> Place:
    peak = next((peak for peak in peaks.PEAKS if peak.name == post.get("plan.device")), None)
    if peak is not None:
        devices = _count(post.get("plan.devices"), max(WHAT_IF_DEVICES, spec.parallel.world_size))
        return Place(planner.profile_of(peak), None, Hardware("cuda", spans_nodes=True), devices, peak.name)
    pool = Pool.objects.filter(name=spec.pool).first()
    profile = plans.known_of(pool) if pool else None
    if pool is None or profile is None:
        return Place(None, None, None, spec.parallel.world_size)
    try:
        limits = job_actions.hardware_of(pool)
    except SpecError:
        return Place(profile, None, None, spec.parallel.world_size)
    devices = min(limits.gang_limit or 1, MOST_DEVICES)
    return Place(profile, plans.calibration_of(profile), limits, devices)


def phases_of(plan: Plan) -> list[tuple[str, Range, float]]:
    """(phase, seconds, percent of the step) of those that take time."""
    if plan.time is None:
        return []
    whole = plan.time.step_s.point or 1.0
    return [
        (name, span, 100 * span.point / whole) for name, span in plan.time.phases.items() if span.high > 0
    ]


def nearest_of(spec: Spec, place: Place) -> dict[str, object] | None:
    if place.profile is None:
        return None
    found = planner.nearest(spec, place.profile, place.hardware)
    if found is None:
        return {"none": True}
    other, plan = found
    changes = planner.changes_of(spec, other)
    before = planner.plan(spec, place.profile, place.calibration).time
    after = planner.plan(other, place.profile, place.calibration).time
    slower = after.step_s.point / before.step_s.point if before and after else None
    return {
        "said": said(changes),
        "fill": fill(changes),
        "bytes": plan.peak.total_bytes,
        "step_ratio": slower,
    }


def best_of(spec: Spec, place: Place, by: str) -> dict[str, object]:
    """The search's table; each row fills the form."""
    if place.profile is None:
        return {"why_not": "The pool has no device to plan for.", "rows": []}
    kind: Any = by if by in get_args(planner.By) else "time"
    found = planner.search(
        spec, place.profile, place.calibration, devices=place.devices, by=kind, hardware=place.hardware
    )
    return {"why_not": found.why_not, "found": found, "rows": [row(one) for one in found.best]}


def row(found: Found) -> dict[str, object]:
    parallel = found.spec.parallel
    return {
        "found": found,
        "layout": [(name, getattr(parallel, name)) for name in LAYOUT if getattr(parallel, name) > 1],
        "parallel": parallel,
        "micro": found.spec.batch.micro_batch_size,
        "said": said(found.changes) or "as it is",
        "fill": fill(found.changes),
    }


def said(changes: Mapping[str, Any]) -> str:
    """'ZeRO stage 2, micro-batch 4'"""
    fields = ((spec_fields.FIELDS[path], value) for path, value in changes.items())
    return ", ".join(f"{field.title} {field.text_of(value)}" for field, value in fields)


def fill(changes: Mapping[str, Any]) -> str:
    """What the page's script writes into the fields, as JSON."""
    return json.dumps({path: spec_fields.FIELDS[path].text_of(value) for path, value in changes.items()})


def bar(stage: StageMemory, whole_bytes: float) -> list[tuple[str, float, float]]:
    """(component, bytes, percent of the bar) of one stage."""
    return [(part, size, 100 * size / whole_bytes if whole_bytes else 0) for part, size in sizes(stage)]


def sizes(stage: StageMemory) -> list[tuple[str, float]]:
    return [(part, getattr(stage, f"{part}_bytes")) for part in PARTS]


def _is_possible(spec: Spec) -> bool:
    try:
        refuse_impossible(spec)
    except SpecError:
        return False
    return True


def _count(text: str | None, default: int) -> int:
    """What somebody typed, within reason."""
    try:
        return max(1, min(MOST_DEVICES, int(text or default)))
    except ValueError:
        return default
