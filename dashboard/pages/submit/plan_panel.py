"""Plan panel of the submit page: memory, time, cost and faster plans."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from dashboard.pages.submit import spec_check, spec_fields
from dashboard.pages.submit.spec_check import Draft
from engine import planner
from engine.data import epochs
from engine.hardware import peaks
from engine.planner import Calibration, Estimate, HardwareProfile, Plan, PlanCandidate, StageMemory
from engine.spec.checks import Hardware, refuse_impossible
from engine.spec.spec import Spec, SpecError
from jobs import datasets
from jobs.models import Pool
from jobs.planning import calibration, plans
from jobs.queue import job_actions

# Components of a device's memory, named as in planner.StageMemory
COMPONENTS = (
    "parameters", "gradients", "optimiser", "activations", "logits", "buffers", "framework", "checkpoint",
)  # fmt: skip
MOMENTS = {
    "forward": "at the end of the forward pass",
    "loss": "when the backward pass begins, at the logits",
    "backward": "in the backward pass",
    "backward_end": "at the end of the backward pass",
    "reduction": "when gradients are reduced",
    "update": "in the optimiser's update",
    "checkpoint": "while a checkpoint is saved",
}
WHAT_IF_DEVICES = 8  # default number of devices of another type
MOST_DEVICES = 64
LAYOUT = ("data", "tensor", "stages")


@dataclass(frozen=True)
class PlanTarget:
    """Devices that a plan is made for: those of the pool, or devices of another type (`what_if`)."""

    profile: HardwareProfile | None
    calibration: Calibration | None
    hardware: Hardware | None
    devices: int
    what_if: str = ""


def build_context(draft: Draft, post: Mapping[str, str]) -> dict[str, object]:
    """Return the context of submit/_plan.html; no plan while no hardware could run the spec."""
    spec = draft.spec
    if spec is None or not _is_possible(spec):
        return {"plan": None}
    target = get_target(spec, post)
    plan = planner.plan(spec, target.profile, target.calibration)
    capacity = spec_check.get_capacity(spec.pool)
    memory_bytes = target.profile.memory_bytes if target.profile else None
    verdict = plan.fits(memory_bytes)
    by = post.get("plan.by", "time")
    return {
        "plan": plan,
        "spec": spec,
        "capacity": capacity,
        "target": target,
        "what_ifs": [peak.name for peak in peaks.PEAKS],
        "cost": spec_check.get_cost_limit(spec) if not target.what_if else None,
        "peak": list_sizes(plan.peak),
        "places": [use for use in plan.places if use.place != "device"],
        "binds": MOMENTS.get(plan.peak.binds, ""),
        "epochs": _build_epochs(spec),
        "tokens_total": plan.tokens_per_step * spec.budget.steps,
        "verdict": verdict,
        "stages": [
            (stage, build_bar(stage, max(memory_bytes or 0, plan.peak.total_bytes))) for stage in plan.stages
        ],
        "nearest": find_nearest(spec, target) if verdict in ("tight", "will not fit") else None,
        "phases": list_phases(plan),
        "run_s": plan.over_all_steps(plan.time.step_s) if plan.time else None,
        "run_energy_j": plan.over_all_steps(plan.time.energy_j) if plan.time else None,
        "run_money": plan.over_all_steps(plan.time.money) if plan.time else None,
        "by": by,
        "search": search_plans(spec, target, by) if "plan.search" in post else None,
    }


def _build_epochs(spec: Spec) -> dict[str, object] | None:
    """Passes over the corpus, about, and a warning if they are many."""
    found = datasets.estimate_epochs(spec)
    if found is None:
        return None
    warning = epochs.describe_epochs(found, "corpus") if found > epochs.MANY_EPOCHS else ""
    return {"text": epochs.format_epochs(found), "warning": warning}


def get_target(spec: Spec, post: Mapping[str, str]) -> PlanTarget:
    peak = next((peak for peak in peaks.PEAKS if peak.name == post.get("plan.device")), None)
    if peak is not None:
        devices = _parse_count(post.get("plan.devices"), max(WHAT_IF_DEVICES, spec.parallel.world_size))
        return PlanTarget(
            planner.profile_from_peak(peak), None, Hardware("cuda", spans_nodes=True), devices, peak.name
        )
    pool = Pool.objects.filter(name=spec.pool).first()
    profile = plans.get_profile_or_capacity(pool) if pool else None
    if pool is None or profile is None:
        return PlanTarget(None, None, None, spec.parallel.world_size)
    try:
        limits = job_actions.hardware_of(pool)
    except SpecError:
        return PlanTarget(profile, None, None, spec.parallel.world_size)
    devices = min(limits.gang_limit or 1, MOST_DEVICES)
    return PlanTarget(profile, calibration.get_calibration(profile.name), limits, devices)


def list_phases(plan: Plan) -> list[tuple[str, Estimate, float]]:
    """Return (phase, seconds, percent of the step) of the phases that take time."""
    if plan.time is None:
        return []
    step_s = plan.time.step_s.point or 1.0
    return [
        (name, span, 100 * span.point / step_s) for name, span in plan.time.phases.items() if span.high > 0
    ]


def find_nearest(spec: Spec, target: PlanTarget) -> dict[str, object] | None:
    if target.profile is None:
        return None
    found = planner.nearest_fit(spec, target.profile, target.hardware)
    if found is None:
        return {"none": True}
    other, plan = found
    changes = planner.layout_changes(spec, other)
    before = planner.plan(spec, target.profile, target.calibration).time
    after = planner.plan(other, target.profile, target.calibration).time
    slower = after.step_s.point / before.step_s.point if before and after else None
    return {
        "label": describe_changes(changes),
        "fill": fill_values(changes),
        "bytes": plan.peak.total_bytes,
        "step_ratio": slower,
    }


def search_plans(spec: Spec, target: PlanTarget, by: str) -> dict[str, object]:
    """Search for better plans and return their table. Each row can fill the form."""
    if target.profile is None:
        return {"why_not": "The pool has no device to plan for.", "rows": []}
    kind: Any = by if by in get_args(planner.Goal) else "time"
    found = planner.search(
        spec, target.profile, target.calibration, devices=target.devices, goal=kind, hardware=target.hardware
    )
    return {"why_not": found.why_not, "found": found, "rows": [build_row(one) for one in found.best]}


def build_row(found: PlanCandidate) -> dict[str, object]:
    parallel = found.spec.parallel
    return {
        "found": found,
        "layout": [(name, getattr(parallel, name)) for name in LAYOUT if getattr(parallel, name) > 1],
        "parallel": parallel,
        "micro": found.spec.batch.micro_batch_size,
        "label": describe_changes(found.changes) or "no change",
        "fill": fill_values(found.changes),
    }


def describe_changes(changes: Mapping[str, Any]) -> str:
    """Return the changes as text: 'ZeRO stage 2, micro-batch 4'."""
    fields = ((spec_fields.FIELDS[path], value) for path, value in changes.items())
    return ", ".join(f"{field.title} {field.text_of(value)}" for field, value in fields)


def fill_values(changes: Mapping[str, Any]) -> str:
    """Return the texts that the script writes into the fields, as JSON."""
    return json.dumps({path: spec_fields.FIELDS[path].text_of(value) for path, value in changes.items()})


def build_bar(stage: StageMemory, total_bytes: float) -> list[tuple[str, float, float]]:
    """Return (component, bytes, percent of the bar) of one stage."""
    return [(name, size, 100 * size / total_bytes if total_bytes else 0) for name, size in list_sizes(stage)]


def list_sizes(stage: StageMemory) -> list[tuple[str, float]]:
    """Return (component, bytes) of one stage."""
    return [(name, getattr(stage, f"{name}_bytes")) for name in COMPONENTS]


def _is_possible(spec: Spec) -> bool:
    try:
        refuse_impossible(spec)
    except SpecError:
        return False
    return True


def _parse_count(text: str | None, default: int) -> int:
    """Parse a number of devices and limit it to 1 to MOST_DEVICES."""
    try:
        return max(1, min(MOST_DEVICES, int(text or default)))
    except ValueError:
        return default
