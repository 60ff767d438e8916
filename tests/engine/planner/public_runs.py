"""Published GPU configurations: their specs, profiles and plans."""

from __future__ import annotations

import dataclasses
import functools
import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.hardware.peaks import find_named
from engine.planner import EngineTraits, HardwareProfile, Link, Plan, plan, profile_from_peak
from engine.spec.spec import Spec, parse

PATH = Path(__file__).with_name("public_configurations.json")
GIB = 1024**3
MODEL_FIELDS = (
    "layers", "width", "heads", "ffn_width", "tied_embeddings", "kv_heads", "norm", "feed_forward", "positions",
    "biases",
)  # fmt: skip


@dataclass(frozen=True)
class PublicRun:
    """One published configuration with its plan."""

    row: dict[str, Any]
    spec: Spec
    profile: HardwareProfile
    trainer: EngineTraits
    plan: Plan

    @property
    def name(self) -> str:
        row = self.row
        return (
            f"{row['source']} {row['model']} {row['device']} x{self.spec.parallel.world_size} s{row['context']} "
            f"mb{row['micro']} z{row['zero']} t{row['tensor']} p{row['stages']} {row['recompute']}"
        )

    @property
    def is_held_out(self) -> bool:
        return self.row["half"] == "held_out"

    @property
    def throughput_ratio(self) -> float | None:
        """Predicted over published tokens per second."""
        measured = self.row.get("tokens_per_s_per_device")
        if measured is None or self.plan.time is None:
            return None
        return self.plan.time.tokens_per_s.point / self.spec.parallel.world_size / measured

    @property
    def memory_ratio(self) -> float | None:
        """Predicted over published peak memory; what torch allocates has no CUDA context."""
        if "memory_gib" not in self.row:
            return None
        context = self.plan.peak.framework_bytes if self.row["memory_kind"] != "nvidia-smi" else 0.0
        return (self.plan.peak.total_bytes - context) / GIB / self.row["memory_gib"]


@functools.lru_cache(maxsize=1)
def data() -> dict[str, Any]:
    return json.loads(PATH.read_text())


def load_runs() -> list[PublicRun]:
    return [_load(row) for row in data()["rows"]]


def _load(row: dict[str, Any]) -> PublicRun:
    model = data()["models"][row["model"]]
    values = {
        "model": {name: model[name] for name in MODEL_FIELDS if name in model} | {"context": row["context"]},
        "batch": {"global_batch_size": row["global"], "micro_batch_size": row["micro"]},
        "parallel": {
            "data": row["data"], "tensor": row["tensor"], "stages": row["stages"], "zero_stage": row["zero"],
            "activation_checkpointing": row["recompute"],
            **{f"offload_{part}": "host" for part in row.get("offload", ())},
        },
        "precision": {"dtype": row["dtype"]},
    }  # fmt: skip
    spec = parse(values)
    # Some published vocabularies are larger than a spec of this version may have.
    spec = spec.model_copy(update={"data": spec.data.model_copy(update={"vocab_size": model["vocab_size"]})})
    profile, trainer = _profile(row), EngineTraits(**row.get("trainer", {}))
    return PublicRun(row, spec, profile, trainer, plan(spec, profile, trainer=trainer))


def _profile(row: dict[str, Any]) -> HardwareProfile:
    peak = find_named(row["device"])
    assert peak is not None, row["device"]
    profile, other = profile_from_peak(peak), row.get("override", {})
    if "memory_gib" in other:
        profile = dataclasses.replace(profile, memory_bytes=int(other["memory_gib"] * GIB))
    if "memory_bytes_per_s" in other:
        profile = dataclasses.replace(profile, memory_bytes_per_s=other["memory_bytes_per_s"])
    if "network_bytes_per_s" in other:
        assert profile.between_nodes is not None
        link = Link(profile.between_nodes.latency_s, other["network_bytes_per_s"])
        profile = dataclasses.replace(profile, between_nodes=link)
    return profile


def summarise(ratios: list[float], low: float = 0.75, high: float = 1.33) -> str:
    errors = [abs(ratio - 1) for ratio in ratios]
    inside = sum(low <= ratio <= high for ratio in ratios) / len(ratios)
    return (
        f"median error {statistics.median(errors):.1%}, bias {statistics.median(ratios) - 1:+.1%}, "
        f"{inside:.0%} inside {low} to {high}, {min(ratios):.2f} to {max(ratios):.2f}, of {len(ratios)}"
    )
