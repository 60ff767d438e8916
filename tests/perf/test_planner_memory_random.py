"""Predicted memory against real CPU ranks of random specs, with saves and validations.

Every tensor has pages of its own (memory_ranks.py). PLANNER_SEED and PLANNER_CASES choose other specs.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.planner import HardwareProfile, plan
from engine.spec.checks import Hardware, refuse_impossible
from engine.spec.spec import Spec, SpecError, parse
from tests.engine.rank import attempts
from tests.engine.rank.attempts import write_attempt
from tests.perf.measuring_forker import MeasuringForker
from tests.perf.memory_ranks import ATTEMPT_LIMIT_S

pytestmark = [pytest.mark.perf, pytest.mark.ranks, pytest.mark.timeout(3000)]

SEED = int(os.environ.get("PLANNER_SEED", "20261130"))
CASES = int(os.environ.get("PLANNER_CASES", "60"))
CPU = HardwareProfile("this machine", "cpu", "measured", "a test", {"fp32": 1e10})


@dataclasses.dataclass(frozen=True)
class MeasuredRun:
    """Bytes of the fullest rank, and of a rank before it built its model."""

    spec: Spec
    predicted: float
    measured: float
    before: float
    binds: str

    @property
    def error(self) -> float:
        return self.predicted / self.measured - 1

    @property
    def growth_error(self) -> float:
        return (self.predicted - self.before) / (self.measured - self.before) - 1


def random_spec(rng: random.Random) -> Spec:
    heads, family = rng.choice((2, 4, 8)), rng.choice(("decoder", "decoder", "encoder"))
    width, layout = (
        heads * rng.choice((16, 32, 48)),
        rng.choice(("one", "data", "data", "stages", "tensor", "both")),
    )
    objective = "masked" if family == "encoder" else "next_token"
    data, stages = 2 if layout in ("data", "both") else 1, 2 if layout in ("stages", "both") else 1
    micro, turns = rng.choice((1, 2, 4, 8, 16)), rng.choice((1, 1, 2, 4))
    return parse({
        "model": {
            "family": family, "layers": rng.randint(2, 8), "width": width, "heads": heads,
            "ffn_width": rng.choice((2, 3, 4)) * width, "context": rng.choice((32, 64, 128, 256)),
            "norm": rng.choice(("layernorm", "rmsnorm")), "feed_forward": rng.choice(("gelu", "swiglu")),
            "positions": rng.choice(("learned", "rotary", "sinusoidal")), "dropout": rng.choice((0.0, 0.0, 0.1)),
            "tied_embeddings": rng.random() < 0.4, "biases": rng.random() < 0.6, "kv_heads": rng.choice((None, 2)),
        },
        "parallel": {
            "data": data, "stages": stages, "tensor": 2 if layout == "tensor" else 1,
            "activation_checkpointing": rng.choice(("none", "none", "selective", "full")),
            "zero_stage": rng.choice((0, 1, 2, 3) if layout == "data" else (0, 1)),
        },
        "data": {"tokenizer": "bytes", "validation_share": 0.002, "objective": objective},
        "batch": {"micro_batch_size": micro, "global_batch_size": micro * turns * data},
        "optimiser": {"name": rng.choice(("adamw", "adamw", "sgd")), "warmup_steps": 1}, "precision": {"dtype": "fp32"},
        "budget": {"steps": 6, "validate_every": rng.choice((0, 3)), "checkpoint_every": rng.choice((0, 2, 4))},
    })  # fmt: skip


def random_specs() -> Iterator[Spec]:
    rng = random.Random(SEED)
    while True:
        try:
            spec = random_spec(rng)
            refuse_impossible(spec, Hardware("cpu", 4))
        except SpecError:
            continue
        yield spec


def measure(folder: Path) -> Iterator[MeasuredRun]:
    forker = MeasuringForker({"OWN_PAGES": "1", "WITH_SAVES": "1"})
    try:
        for number, spec in zip(range(CASES), random_specs(), strict=False):
            directory = write_attempt(folder / str(number), spec, folder / "data")
            forker.start(directory).succeeded()
            ranks = [
                json.loads((directory.path / f"memory{r}.json").read_text())
                for r in range(spec.parallel.world_size)
            ]
            found = plan(spec, CPU)
            yield MeasuredRun(
                spec, found.peak.total_bytes, max(max(rank["phases"].values()) for rank in ranks),
                statistics.median(rank["baseline_bytes"] for rank in ranks), found.peak.binds,
            )  # fmt: skip
    finally:
        forker.close()


def describe(spec: Spec) -> str:
    model, parallel = spec.model, spec.parallel
    return (
        f"{model.family[:3]} {model.layers}x{model.width} ctx {model.context} {model.norm[:3]} {model.feed_forward} "
        f"drop {model.dropout} mb {spec.batch.micro_batch_size}x{spec.accumulation} d{parallel.data} "
        f"t{parallel.tensor} p{parallel.stages} z{parallel.zero_stage} {parallel.activation_checkpointing} "
        f"{spec.optimiser.name} save {spec.budget.checkpoint_every}"
    )


def test_random_specs_with_saves_and_validations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "ATTEMPT_LIMIT_S", ATTEMPT_LIMIT_S)
    runs = []
    print(f"\nseed {SEED}; load {os.getloadavg()[0]:.1f}")
    for run in measure(tmp_path):
        runs.append(run)
        print(
            f"  {describe(run.spec):100} predicted {run.predicted / 1e6:6.1f} ({run.binds}), measured "
            f"{run.measured / 1e6:6.1f}, before {run.before / 1e6:5.1f}: {run.error:+.1%}, "
            f"growth {run.growth_error:+.1%}",
            flush=True,
        )
    errors, growths = [abs(run.error) for run in runs], [abs(run.growth_error) for run in runs]
    for title, found in (("process", errors), ("growth", growths)):
        tenth = statistics.quantiles(found, n=10)[-1]
        print(
            f"{title}: median {statistics.median(found):.1%}, p90 {tenth:.1%}, worst {max(found):.1%} "
            f"of {len(found)}"
        )
    print(f"lowest {min(run.error for run in runs):+.1%}")
    assert statistics.median(errors) <= 0.02 and statistics.quantiles(errors, n=10)[-1] <= 0.05
    assert min(run.error for run in runs) >= -0.05
