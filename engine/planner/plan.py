"""Plan of a spec: memory by stage and step time by phase."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from pydantic import TypeAdapter

from engine.planner.estimate import Estimate
from engine.planner.places import PlaceUse, PlanWarning
from engine.planner.plan_parts import StageMemory, fit_label

PLANNER_VERSION = 4


@dataclass(frozen=True)
class StepTime:
    """Time of one step on one kind of device. Phases are means over the ranks, so they add up to the step."""

    device: str
    standing: str  # measured or estimated: source of the device's speeds
    phases: dict[str, Estimate]  # by calibration.PHASES
    step_s: Estimate
    tokens_per_s: Estimate
    mfu_share: Estimate | None  # model FLOPs over the peak; None without a known peak (CPUs)
    hfu_share: Estimate | None  # including recomputation
    energy_j: Estimate | None  # of one step on all devices; None without power levels
    money: Estimate | None  # of one step on all devices; None without a price
    currency: str = ""
    calibrated: dict[str, int] = field(default_factory=dict)  # phase -> number of runs behind its correction


@dataclass(frozen=True)
class Plan:
    """Prediction for a spec. Every figure is an estimate except the exact counts."""

    version: int
    dtype: str
    num_parameters: int
    world_size: int
    accumulation: int
    tokens_per_step: int
    flops_per_step: float  # model FLOPs: causal attention halved, no recomputation (Megatron's convention)
    stages: tuple[StageMemory, ...]
    num_steps: int = 0
    num_trained: int | None = None  # parameters that change, those of adapters included; None: all of them
    flops_palm_per_step: float | None = None  # attention in full, as PaLM's appendix B counts
    flops_hardware_per_step: float | None = None  # model FLOPs and recomputation
    memory_bytes: int | None = None  # capacity of the device
    # Peak of the fullest device, corrected; to the high end, what the allocator holds beside what is alive
    memory_range: Estimate | None = None
    places: tuple[PlaceUse, ...] = ()  # device, host memory of a node, disk of the checkpoints
    warnings: tuple[PlanWarning, ...] = ()
    time: StepTime | None = None
    why_not: str = "Planned by a version that did not predict time."

    @property
    def peak(self) -> StageMemory:
        return max(self.stages, key=lambda stage: stage.total_bytes)

    def fits(self, memory_bytes: float | None = None) -> str:
        """Return fits, tight or will not fit; unknown without a capacity, also of the host where the plan offloads."""
        device = fit_label(self.peak.total_bytes, memory_bytes or self.memory_bytes)
        host = next((use for use in self.places if use.place == "host"), None)
        offloads = any(stage.host_bytes for stage in self.stages)
        if host is None or device == "will not fit":
            return device
        if host.label == "will not fit" or (offloads and host.label == "unknown"):
            return host.label
        return "tight" if offloads and host.label == "tight" else device

    def over_all_steps(self, amount: Estimate | None) -> Estimate | None:
        """Scale seconds, joules or money of one step to the whole budget, without validation and checkpoints."""
        return amount.scaled(self.num_steps) if amount else None

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"peak_bytes": self.peak.total_bytes, "status": "estimated"}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Plan:
        """Read a plan of any version: stored plans never change. Raises pydantic.ValidationError (a ValueError)."""
        known = {f.name for f in fields(cls)}
        return _PLAN.validate_python({name: value for name, value in values.items() if name in known})


_PLAN = TypeAdapter(Plan)


@dataclass(frozen=True)
class PlanChange:
    """Predicted effect of another spec: new time over old time, so 0.8 saves a fifth."""

    step: float
    phases: dict[str, float | None]  # None: the phase took no time before
    throughput: float  # ratio of tokens/s; differs from 1 / step where the batch changes
    before: Plan
    after: Plan
