"""What the planner answers with: memory by stage, step time by phase, and the plan that holds both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from pydantic import TypeAdapter

from engine.planner.ranges import Range

PLANNER_VERSION = 3
FITS_SHARE = (
    0.8  # at most this predicted never ran out of memory in 454 measured runs (Fujii, arXiv 2411.06465)
)
TIGHT_SHARE = 0.95


@dataclass(frozen=True)
class StageMemory:
    """Bytes on each device of one pipeline stage, component by component, at the moment at which it holds most."""

    stage: int
    parameters_bytes: float
    gradients_bytes: float
    optimiser_bytes: float
    activations_bytes: float
    logits_bytes: float
    buffers_bytes: float = 0.0  # communication buckets, gathered parameters, temporaries of the update
    framework_bytes: float = 0.0  # CUDA context and NCCL, or the imported process; 0 without a device profile
    host_bytes: float = 0.0  # offloaded to the host's memory; not on the device
    binds: str = ""  # the moment: one of the keys of `moments`
    moments: dict[str, float] = field(default_factory=dict)  # bytes on the device at each

    @property
    def total_bytes(self) -> float:
        return sum(getattr(self, name) for name in COMPONENTS)


COMPONENTS = tuple(
    f.name for f in fields(StageMemory) if f.name.endswith("_bytes") and f.name != "host_bytes"
)


@dataclass(frozen=True)
class StepTime:
    """One step on one kind of device. The phases are means over the ranks, so they add up to the step."""

    device: str
    standing: str  # measured or estimated: where the device's speeds come from
    phases: dict[str, Range]  # by the names of calibration.PHASES
    step_s: Range
    tokens_per_s: Range
    mfu_share: Range | None  # model FLOPs over the peak; None where no peak is known (CPUs)
    hfu_share: Range | None  # with what is recomputed
    energy_j: Range | None  # of one step on all devices; None without power levels
    money: Range | None  # of one step on all devices; None without a price
    currency: str = ""
    calibrated: dict[str, int] = field(
        default_factory=dict
    )  # phase -> runs that its correction was learnt from


@dataclass(frozen=True)
class Plan:
    """What the planner says of a spec; every figure is an estimate except the exact counts."""

    version: int
    dtype: str
    num_parameters: int
    world_size: int
    accumulation: int
    tokens_per_step: int
    flops_per_step: float  # model FLOPs: causal attention halved, nothing recomputed (Megatron's convention)
    stages: tuple[StageMemory, ...]
    num_steps: int = 0
    flops_palm_per_step: float | None = None  # attention in full, as PaLM's appendix B counts
    flops_hardware_per_step: float | None = None  # model FLOPs and what is recomputed
    memory_bytes: int | None = None  # of the device that was planned for
    memory_range: Range | None = None  # of the fullest device, with what ended runs have taught
    time: StepTime | None = None
    why_not: str = "Planned by a version that did not predict time."

    @property
    def peak(self) -> StageMemory:
        return max(self.stages, key=lambda stage: stage.total_bytes)

    def fits(self, memory_bytes: float | None = None) -> str:
        """fits / tight / will not fit; 'unknown' without a capacity."""
        capacity = memory_bytes or self.memory_bytes
        if not capacity:
            return "unknown"
        share = self.peak.total_bytes / capacity
        return "fits" if share <= FITS_SHARE else "tight" if share <= TIGHT_SHARE else "will not fit"

    def of_all_steps(self, amount: Range | None) -> Range | None:
        """Seconds, joules or money of one step -> of the whole budget, without validations and checkpoints."""
        return amount.scaled(self.num_steps) if amount else None

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"peak_bytes": self.peak.total_bytes, "status": "estimated"}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Plan:
        """Of any version: plans are kept as they were made. Raises pydantic.ValidationError (a ValueError)."""
        known = {f.name for f in fields(cls)}
        return _PLAN.validate_python({name: value for name, value in values.items() if name in known})


_PLAN = TypeAdapter(Plan)


@dataclass(frozen=True)
class Change:
    """What another spec would do to the step: predicted time over predicted time, 0.8 being a fifth saved."""

    step: float
    phases: dict[str, float | None]  # None: the phase takes no time before
    throughput: float  # tokens/s over tokens/s: another ratio than the step's where the batch changes
    before: Plan
    after: Plan
