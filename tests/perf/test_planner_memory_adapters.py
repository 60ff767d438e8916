"""Predicted memory of runs with adapters against real CPU ranks of random specs."""

from __future__ import annotations

import json
import os
import random
import statistics
from pathlib import Path

import pytest

from engine.planner import plan
from engine.rank.model.build import WholeModel
from engine.spec.checks import Hardware, refuse_impossible
from engine.spec.spec import Spec, SpecError, parse
from tests.engine.checkpoints.sample_checkpoints import write_checkpoint
from tests.engine.rank import attempts
from tests.engine.rank.attempts import write_attempt
from tests.perf.measuring_forker import MeasuringForker
from tests.perf.memory_ranks import ATTEMPT_LIMIT_S
from tests.perf.test_planner_memory_random import CPU, describe, random_spec

pytestmark = [pytest.mark.perf, pytest.mark.ranks, pytest.mark.timeout(3000)]

SEED = int(os.environ.get("PLANNER_SEED", "20261206"))
CASES = int(os.environ.get("PLANNER_CASES", "20"))
TARGETS = ["*attention.*, feed_forward.*", "*.query, *.value", "feed_forward.*", "*.down, *.output"]


def draw(rng: random.Random) -> Spec:
    """Return a spec with adapters and models of some MB, so that its weights show beside the process."""
    while True:
        values = random_spec(rng).model_dump()
        values["model"]["layers"] = rng.randint(4, 10)
        values["adapter"] = {
            "rank": rng.choice((1, 8, 32)), "targets": rng.choice(TARGETS), "dropout": rng.choice((0.0, 0.0, 0.1)),
        }  # fmt: skip
        spec = parse(values | {"start_from": "given"})
        try:
            refuse_impossible(spec, Hardware("cpu", 4))
        except SpecError:
            continue
        return spec


def write_base(folder: Path, spec: Spec) -> Path:
    plain = parse(spec.model_dump() | {"adapter": {}, "start_from": ""})
    model = WholeModel(plain)
    return write_checkpoint(folder, plain, {name: p.detach().numpy() for name, p in model.named_parameters()})


def test_random_specs_with_adapters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "ATTEMPT_LIMIT_S", ATTEMPT_LIMIT_S)
    rng, errors = random.Random(SEED), []
    forker = MeasuringForker({"OWN_PAGES": "1", "WITH_SAVES": "1"})
    try:
        for number in range(CASES):
            spec = draw(rng)
            base = write_base(tmp_path / f"base{number}", spec)
            directory = write_attempt(tmp_path / str(number), spec, tmp_path / "data", start_from=base)
            forker.start(directory).succeeded()
            ranks = [
                json.loads((directory.path / f"memory{rank}.json").read_text())
                for rank in range(spec.parallel.world_size)
            ]
            predicted = plan(spec, CPU).peak.total_bytes
            measured = max(max(rank["phases"].values()) for rank in ranks)
            errors.append(predicted / measured - 1)
            print(f"  {describe(spec):100} {spec.adapter.rank} {spec.adapter.targets:30} "
                  f"predicted {predicted / 1e6:6.1f}, measured {measured / 1e6:6.1f}: {errors[-1]:+.1%}",
                  flush=True)  # fmt: skip
    finally:
        forker.close()
    sizes = [abs(error) for error in errors]
    print(
        f"median {statistics.median(sizes):.1%}, worst {max(sizes):.1%}, lowest {min(errors):+.1%} of {CASES}"
    )
    assert statistics.quantiles(sizes, n=10)[-1] <= 0.05 and min(errors) >= -0.05
