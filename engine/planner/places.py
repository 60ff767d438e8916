"""Memory of a plan by place: device, host and disk, each against its capacity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from engine.model_math.adapters import trained_parameters
from engine.planner.memory import keeps_checkpoint_copy, stage_memory
from engine.planner.plan_parts import StageMemory, fit_label
from engine.planner.profile import PROCESS_BYTES, HardwareProfile
from engine.planner.traits import OWN, EngineTraits
from engine.spec.spec import Spec

Place = Literal["device", "host", "disk"]
CHECKPOINT_BEING_WRITTEN = 1  # beside those that are kept


@dataclass(frozen=True)
class PlaceUse:
    """Bytes of a plan in one place: the fullest device, the host memory of a node, or the disk of checkpoints."""

    place: Place
    needed_bytes: float
    capacity_bytes: float | None  # None: unknown
    label: str  # fits, tight, will not fit, unknown
    parts: dict[str, float] = field(default_factory=dict)  # cause -> bytes


@dataclass(frozen=True)
class PlanWarning:
    """Something that a plan's label does not show, as code and values."""

    code: str  # a key of WARNINGS
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        shown = {
            name: f"{value / 1024**3:,.1f} GiB" if name.endswith("_bytes") else value
            for name, value in self.values.items()
        }
        return WARNINGS[self.code].format(**shown)


WARNINGS = {
    "start_device": "Before the first step each rank moves its whole model ({needed_bytes}) to the device, which has "
    "{capacity_bytes}; only then it is sharded. This engine cannot start it.",
    "start_host": "Before the first step the {ranks} ranks of a node hold {needed_bytes} of weights in host memory, "
    "which has {capacity_bytes}.",
    "host_unknown": "Whether {needed_bytes} fit into the host memory of a node is not known: its size is not.",
    "host_full": "The ranks of a node need {needed_bytes} of its {capacity_bytes} of host memory.",
    "disk_full": "Checkpoints need {needed_bytes} of disk; {capacity_bytes} are free.",
    "offload_on_cpu": "The memory of a CPU device is the host's, so offloading to the host frees nothing and adds "
    "copies.",
}


def ranks_per_node(spec: Spec, profile: HardwareProfile | None) -> int:
    """Ranks that share the memory of a node; all of them where the size of a node is not known."""
    world = spec.parallel.world_size
    return min(world, profile.devices_per_node or world) if profile else world


def place_uses(
    spec: Spec, stages: Sequence[StageMemory], profile: HardwareProfile | None
) -> tuple[PlaceUse, ...]:
    """The device, the host memory of a node and the disk of all checkpoints."""
    fullest = max(stages, key=lambda stage: stage.total_bytes)
    capacity = profile.memory_bytes if profile else None
    device = PlaceUse(
        "device", fullest.total_bytes, capacity, fit_label(fullest.total_bytes, capacity),
        {
            "parameters": fullest.parameters_bytes, "gradients": fullest.gradients_bytes,
            "optimiser": fullest.optimiser_bytes, "activations": fullest.activations_bytes,
            "logits": fullest.logits_bytes, "buffers": fullest.buffers_bytes, "framework": fullest.framework_bytes,
            "checkpoint copy": fullest.checkpoint_bytes,
        },
    )  # fmt: skip
    return device, _host_use(spec, stages, profile), _disk_use(spec, profile)


def _host_use(spec: Spec, stages: Sequence[StageMemory], profile: HardwareProfile | None) -> PlaceUse:
    ranks, capacity = ranks_per_node(spec, profile), profile.node_memory_bytes if profile else None
    if profile is not None and profile.kind == "cpu":
        parts = {"ranks": ranks * max(stage.total_bytes for stage in stages)}
    else:
        keeps = keeps_checkpoint_copy(spec)
        copy = max(stage.checkpoint_host_bytes for stage in stages)
        parts = {
            "processes": float(ranks * PROCESS_BYTES),
            "offloaded states": ranks * max(stage.host_bytes for stage in stages),
            "checkpoint copies" if keeps else "checkpoint copies, at the end": ranks * copy,
        }
    needed = sum(parts.values())
    return PlaceUse("host", needed, capacity, fit_label(needed, capacity), parts)


def get_checkpoint_disk_bytes(spec: Spec, first_step: int = 0) -> float:
    """Disk that the checkpoints of an attempt after `first_step` steps need at most, with one that is being written."""
    budget, row = spec.budget, spec.optimiser.row
    each = trained_parameters(spec) * (4 + (row.state_bytes(spec) if row.is_state_saved else 0.0))
    left = max(0, budget.steps - first_step)
    saves = left // budget.checkpoint_every if budget.checkpoint_every else 0
    kept = min(budget.keep_checkpoints + CHECKPOINT_BEING_WRITTEN, max(1, saves + 1)) + budget.keep_best
    return kept * each


def _disk_use(spec: Spec, profile: HardwareProfile | None) -> PlaceUse:
    needed, capacity = get_checkpoint_disk_bytes(spec), profile.node_disk_bytes if profile else None
    return PlaceUse("disk", needed, capacity, fit_label(needed, capacity), {"checkpoints": needed})


def is_host_enough(spec: Spec, dtype: str, profile: HardwareProfile, trainer: EngineTraits = OWN) -> bool:
    """Whether what the spec offloads is known to fit into the host memory of a node."""
    parallel = spec.parallel
    if parallel.offload_optimiser == "none" and parallel.offload_parameters == "none":
        return True
    if profile.kind == "cpu" or profile.node_memory_bytes is None:
        return False
    stages = [stage_memory(spec, dtype, stage, profile, trainer) for stage in range(parallel.stages)]
    return _host_use(spec, stages, profile).label in ("fits", "tight")


def find_warnings(
    spec: Spec, stages: Sequence[StageMemory], uses: Sequence[PlaceUse], profile: HardwareProfile | None
) -> Iterator[PlanWarning]:
    _, host, disk = uses
    offloads = spec.parallel.offload_optimiser != "none" or spec.parallel.offload_parameters != "none"
    if offloads and profile is not None and profile.kind == "cpu":
        yield PlanWarning("offload_on_cpu")
    if offloads and host.label == "unknown":
        yield PlanWarning("host_unknown", {"needed_bytes": host.needed_bytes})
    for code, use in (("host_full", host), ("disk_full", disk)):
        if use.label == "will not fit":
            yield PlanWarning(code, {"needed_bytes": use.needed_bytes, "capacity_bytes": use.capacity_bytes})
    if profile is None:
        return
    start, ranks = max(stage.start_bytes for stage in stages), ranks_per_node(spec, profile)
    if profile.memory_bytes and start > profile.memory_bytes:
        yield PlanWarning("start_device", {"needed_bytes": start, "capacity_bytes": profile.memory_bytes})
    weights = ranks * max(stage.start_host_bytes for stage in stages)
    if profile.node_memory_bytes and weights > profile.node_memory_bytes:
        values = {"ranks": ranks, "needed_bytes": weights, "capacity_bytes": profile.node_memory_bytes}
        yield PlanWarning("start_host", values)
