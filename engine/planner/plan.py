"""Plan of a spec: memory by stage and step time by phase."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from pydantic import TypeAdapter

from engine.planner.estimate import Estimate

PLANNER_VERSION = 3
# Runs predicted below this share never ran out of memory in 454 measured runs (Fujii, arXiv 2411.06465).
FITS_SHARE = 0.8
TIGHT_SHARE = 0.95


@dataclass(frozen=True)
class StageMemory:
    """Bytes by component on each device of one pipeline stage at its peak."""

    stage: int
    parameters_bytes: float
    gradients_bytes: float
    optimiser_bytes: float
    activations_bytes: float
    logits_bytes: float
    buffers_bytes: float = 0.0  # communication buckets, gathered parameters, temporaries of the update
    framework_bytes: float = 0.0  # CUDA context and NCCL, or the process after imports; 0 without a profile
    host_bytes: float = 0.0  # offloaded to host memory, not on the device
    binds: str = ""  # moment of the peak, a key of `moments`
    moments: dict[str, float] = field(default_factory=dict)  # bytes on the device at each

    @property
    def total_bytes(self) -> float:
        return sum(getattr(self, name) for name in COMPONENTS)


COMPONENTS = tuple(
    f.name for f in fields(StageMemory) if f.name.endswith("_bytes") and f.name != "host_bytes"
)


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
    flops_palm_per_step: float | None = None  # attention in full, as PaLM's appendix B counts
    flops_hardware_per_step: float | None = None  # model FLOPs and recomputation
    memory_bytes: int | None = None  # capacity of the device
    memory_range: Estimate | None = None  # peak of the fullest device, corrected
    time: StepTime | None = None
    why_not: str = "Planned by a version that did not predict time."

    @property
    def peak(self) -> StageMemory:
        return max(self.stages, key=lambda stage: stage.total_bytes)

    def fits(self, memory_bytes: float | None = None) -> str:
        """Return fits, tight or will not fit; unknown without a capacity."""
        return fit_label(self.peak.total_bytes, memory_bytes or self.memory_bytes)

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


def fit_label(peak_bytes: float, capacity_bytes: float | None) -> str:
    """Return fits, tight or will not fit; unknown without a capacity."""
    if not capacity_bytes:
        return "unknown"
    share = peak_bytes / capacity_bytes
    return "fits" if share <= FITS_SHARE else "tight" if share <= TIGHT_SHARE else "will not fit"


@dataclass(frozen=True)
class PlanChange:
    """Predicted effect of another spec: new time over old time, so 0.8 saves a fifth."""

    step: float
    phases: dict[str, float | None]  # None: the phase took no time before
    throughput: float  # ratio of tokens/s; differs from 1 / step where the batch changes
    before: Plan
    after: Plan
