"""Facts behind a verdict: steady steps of each rank, device readings and the spec."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.planner import HardwareProfile
from engine.telemetry.clock import LOOP_PARTS
from engine.telemetry.metrics import STEP_PHASES

Floats = NDArray[np.float64]
FACTS_VERSION = 1
# A step without these is not recorded completely. Only pipelines record bubble_s.
NEEDED_PHASES = tuple(name for name in STEP_PHASES if name not in ("bubble_s", "host_gap_s"))


@dataclass(frozen=True)
class RankFacts:
    """One rank: its position in the layout, and its seconds in each steady step by phase."""

    rank: int
    stage: int
    data_rank: int
    device: str
    phases: Mapping[str, Floats]  # [Facts.num_steps] each; phases that were not measured are missing
    payload_bytes: float | None = None  # per step, handed to collectives

    @property
    def is_complete(self) -> bool:
        return all(name in self.phases for name in NEEDED_PHASES)


@dataclass(frozen=True)
class DeviceFacts:
    """One device during the steady steps: means by metric, and its peak memory.

    `device`: its id, the one of its rank. `name`: what people call it, if that differs. `peaks` and `increases` are of
    all its readings, which span `read_s`: maxima, and how much counters have grown.
    """

    device: str
    kind: str  # cpu or cuda
    means: Mapping[str, float] = field(default_factory=dict)
    peak_bytes: float | None = None
    capacity_bytes: float | None = None
    alloc_retries: float | None = None
    clock_reference_hz: float | None = None  # highest clock seen
    missing: Mapping[str, str] = field(default_factory=dict)  # metric -> reason for having no value
    name: str = ""
    host: str = ""  # the machine that it is in; '': not known
    peaks: Mapping[str, float] = field(default_factory=dict)
    increases: Mapping[str, float] = field(default_factory=dict)
    read_s: float = 0.0

    @property
    def title(self) -> str:
        return self.name or self.device


@dataclass(frozen=True)
class ClockFacts:
    """Where the time of all attempts went, by part of engine.telemetry.clock."""

    seconds: Mapping[str, float]
    num_steps: int = 0  # in the training loops, without the first of each attempt
    num_lost_steps: int = 0  # of these; made again, or given up
    num_attempts: int = 1
    queued_s: float = 0.0  # before and between the attempts

    @classmethod
    def from_rank(cls, seconds: Mapping[str, float], first_step: int, step: int) -> ClockFacts:
        """Return the clock of one attempt as its rank 0 recorded it, without launch and end."""
        return cls(seconds, max(0, step - first_step - 1))

    @property
    def held_s(self) -> float:
        return sum(self.seconds.values())

    @property
    def loop_s(self) -> float:
        """The training loops, each after its first step."""
        return self.sum(*LOOP_PARTS)

    def sum(self, *parts: str) -> float:
        return sum(self.seconds.get(part, 0.0) for part in parts)


@dataclass(frozen=True)
class Facts:
    """`step_s`: seconds of each steady step. `coverage`: share of the window's steps that every rank recorded
    completely. `nothing`: reason if there is nothing to judge."""

    spec: Mapping[str, Any]
    ranks: tuple[RankFacts, ...] = ()
    devices: tuple[DeviceFacts, ...] = ()
    step_s: Floats = field(default_factory=lambda: np.empty(0))
    first_step: int = 0
    last_step: int = 0
    world_size: int = 1
    coverage: float = 0.0
    mfu_share: float | None = None
    ofu_share: float | None = None
    faults: tuple[str, ...] = ()  # Xid, uncorrectable ECC, a lost device: sentences
    ran_out_of_memory: bool = False  # in an earlier attempt
    unlimited_gain_share: float | None = None  # saved by changes that only memory refuses, by the planner
    clock: ClockFacts | None = None  # None: not recorded
    profile: HardwareProfile | None = None  # of its kind of device; None: not probed and in no table
    nothing: str = ""

    @property
    def num_steps(self) -> int:
        return len(self.step_s)

    @property
    def stages(self) -> int:
        return int(self.spec.get("parallel", {}).get("stages", 1))

    @property
    def micro_batches(self) -> int:
        """Micro-batches per step of one data rank."""
        batch, parallel = self.spec.get("batch", {}), self.spec.get("parallel", {})
        sequences = batch.get("micro_batch_size", 1) * parallel.get("data", 1)
        return max(1, int(batch.get("global_batch_size", 1)) // max(1, int(sequences)))

    @property
    def on_cpu(self) -> bool:
        """Whether no device has counters that separate arithmetic from memory bandwidth."""
        return not any(device.kind == "cuda" for device in self.devices)

    def replace(self, **changes: Any) -> Facts:
        return dataclasses.replace(self, **changes)


def to_json(facts: Facts) -> dict[str, Any]:
    """For fixtures and exports; times are rounded to a tenth of a microsecond."""
    values = {f.name: getattr(facts, f.name) for f in fields(Facts)}
    values |= {"version": FACTS_VERSION, "step_s": _round(facts.step_s), "faults": list(facts.faults)}
    values["profile"] = facts.profile.to_json() if facts.profile else None
    values["ranks"] = [
        {f.name: getattr(rank, f.name) for f in fields(RankFacts)}
        | {"phases": {name: _round(seconds) for name, seconds in rank.phases.items()}}
        for rank in facts.ranks
    ]
    values["devices"] = [
        {f.name: getattr(device, f.name) for f in fields(DeviceFacts)} for device in facts.devices
    ]
    values["clock"] = dataclasses.asdict(facts.clock) if facts.clock else None
    return values


def from_json(values: Mapping[str, Any]) -> Facts:
    known = {f.name for f in fields(Facts)}
    kept = {name: value for name, value in values.items() if name in known}
    ranks = tuple(
        RankFacts(
            **rank
            | {"phases": {name: np.array(seconds, dtype=float) for name, seconds in rank["phases"].items()}}
        )
        for rank in values["ranks"]
    )
    devices = tuple(DeviceFacts(**device) for device in values["devices"])
    kept |= {"ranks": ranks, "devices": devices, "step_s": np.array(values["step_s"], dtype=float)}
    if kept.get("clock"):
        kept["clock"] = ClockFacts(**kept["clock"])
    profile = values.get("profile")
    kept["profile"] = HardwareProfile.from_json(profile) if profile else None
    return Facts(**kept | {"faults": tuple(values["faults"])})


def _round(values: Floats) -> list[float]:
    return [round(float(value), 7) for value in values]
