"""What a verdict is made from: steady steps of every rank, readings of devices, the spec, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.telemetry.metrics import STEP_PHASES

Floats = NDArray[np.float64]
FACTS_VERSION = 1


@dataclass(frozen=True)
class Rank:
    """One rank: its place in the layout, and by phase its seconds in each steady step."""

    rank: int
    stage: int
    data_rank: int
    device: str
    phases: Mapping[
        str, Floats
    ]  # each of the length of Facts.num_steps; a phase that was not measured is not there
    payload_bytes: float | None = None  # a step, handed to collectives

    @property
    def is_whole(self) -> bool:
        return all(name in self.phases for name in NEEDED)


@dataclass(frozen=True)
class Device:
    """One device while the steady steps were made: means by metric, and how full its memory was at most."""

    device: str
    kind: str  # cpu or cuda
    means: Mapping[str, float] = field(default_factory=dict)
    peak_bytes: float | None = None
    capacity_bytes: float | None = None
    alloc_retries: float | None = None
    clock_reference_hz: float | None = None  # what it runs at when nothing holds it back
    missing: Mapping[str, str] = field(default_factory=dict)  # metric -> why it has no value


@dataclass(frozen=True)
class Facts:
    """`step_s` of each steady step in seconds; `coverage` the share of the window's steps of which every rank told
    every phase; `nothing` says why there is nothing to judge."""

    spec: Mapping[str, Any]
    ranks: tuple[Rank, ...] = ()
    devices: tuple[Device, ...] = ()
    step_s: Floats = field(default_factory=lambda: np.empty(0))
    first_step: int = 0
    last_step: int = 0
    world_size: int = 1
    coverage: float = 0.0
    mfu_share: float | None = None
    ofu_share: float | None = None
    faults: tuple[str, ...] = ()  # Xid, uncorrectable ECC, a lost device: sentences
    ran_out_of_memory: bool = False  # in an earlier attempt
    unlimited_gain_share: float | None = (
        None  # saved by changes that only memory refuses, as the planner sees it
    )
    nothing: str = ""

    @property
    def num_steps(self) -> int:
        return len(self.step_s)

    @property
    def stages(self) -> int:
        return int(self.spec.get("parallel", {}).get("stages", 1))

    @property
    def micro_batches(self) -> int:
        """A data rank's micro-batches a step."""
        batch, parallel = self.spec.get("batch", {}), self.spec.get("parallel", {})
        one = batch.get("micro_batch_size", 1) * parallel.get("data", 1)
        return max(1, int(batch.get("global_batch_size", 1)) // max(1, int(one)))

    @property
    def on_cpu(self) -> bool:
        """Whether nothing tells arithmetic and memory bandwidth apart: no device with counters."""
        return not any(device.kind == "cuda" for device in self.devices)

    def without(self, **changes: Any) -> Facts:
        return replace(self, **changes)


# Without these a step is not told to its end. bubble_s is told by pipelines only.
NEEDED = tuple(name for name in STEP_PHASES if name not in ("bubble_s", "host_gap_s"))


def to_json(facts: Facts) -> dict[str, Any]:
    """For fixtures and exports; numbers to a tenth of a microsecond."""
    found = {f.name: getattr(facts, f.name) for f in fields(Facts)}
    found |= {"version": FACTS_VERSION, "step_s": _listed(facts.step_s), "faults": list(facts.faults)}
    found["ranks"] = [
        {f.name: getattr(rank, f.name) for f in fields(Rank)}
        | {"phases": {name: _listed(values) for name, values in rank.phases.items()}}
        for rank in facts.ranks
    ]
    found["devices"] = [{f.name: getattr(device, f.name) for f in fields(Device)} for device in facts.devices]
    return found


def from_json(values: Mapping[str, Any]) -> Facts:
    known = {f.name for f in fields(Facts)}
    kept = {name: value for name, value in values.items() if name in known}
    ranks = tuple(
        Rank(
            **rank | {"phases": {name: np.array(some, dtype=float) for name, some in rank["phases"].items()}}
        )
        for rank in values["ranks"]
    )
    devices = tuple(Device(**device) for device in values["devices"])
    kept |= {"ranks": ranks, "devices": devices, "step_s": np.array(values["step_s"], dtype=float)}
    return Facts(**kept | {"faults": tuple(values["faults"])})


def _listed(values: Floats) -> list[float]:
    return [round(float(value), 7) for value in values]
