"""The what-if against tried changes: random pairs of specs on real ranks of one or two cores.

Each pair runs by turns, twice, and the claim is made from the first run alone, as a person gets it. Targets: median
error at most 8 points of the step, and never the wrong sign where more than 10 % are saved or lost.
"""

from __future__ import annotations

import os
import random
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from engine.spec.spec import SpecError
from engine.verdict.facts import Facts
from engine.verdict.spec_edits import apply_changes
from engine.verdict.whatif import predict_gain
from tests.engine.rank.attempts import Forker
from tests.engine.rank.conftest import forker, rank_data_dir  # noqa: F401  (fixtures)
from tests.engine.rank.injected import Bench, Case
from tests.perf.test_planner_time import profile_of_this_machine

pytestmark = [pytest.mark.perf, pytest.mark.ranks, pytest.mark.timeout(3600)]

SEED = int(os.environ.get("SEED", "20261201"))
PAIRS = int(os.environ.get("PAIRS", "60"))
TURNS = 2
SURE_SIGN = 0.10
MODELS = [(2, 32, 16), (2, 64, 32), (4, 64, 64), (2, 128, 64), (4, 128, 128), (4, 192, 128)]


def draw_pairs(rng: random.Random) -> Iterator[tuple[str, Case]]:
    """Kind of change and case, one kind after the other."""
    kinds = [_micro_batch, _stages, _zero, _recompute, _tensor, _accumulation, _offload]
    while True:
        for draw in kinds:
            name = draw.__name__.strip("_")
            case = _case(name, rng, *draw(rng))
            while not _is_possible(case):
                case = _case(name, rng, *draw(rng))
            yield name, case


def _case(
    name: str, rng: random.Random, layout: Mapping[str, Any], batch: Mapping[str, Any], alter: Any
) -> Case:
    layers, width, context = rng.choice(MODELS)
    model = {"layers": layers, "width": width, "heads": 2, "ffn_width": 4 * width, "context": context}
    usual = {"global_batch_size": 32, "micro_batch_size": rng.choice([2, 4, 8])}
    number = rng.randrange(10**6)
    return Case(f"{name} {number}", frozenset(), {}, layout, usual | dict(batch), model, alter=alter)


def _is_possible(case: Case) -> bool:
    try:
        return apply_changes(case.spec.model_dump(), case.alter or {}) != case.spec
    except SpecError:
        return False


Drawn = tuple[dict[str, Any], dict[str, Any], dict[str, Any]]  # layout, batch, change


def _layout(rng: random.Random) -> dict[str, Any]:
    return rng.choice([{"data": 1}, {"data": 2}, {"data": 2, "zero_stage": 1}, {"data": 1, "stages": 2}])


def _micro_batch(rng: random.Random) -> Drawn:
    old, new = rng.sample([1, 2, 4, 8, 16], 2)
    return _layout(rng), {"micro_batch_size": old}, {"batch.micro_batch_size": new}


def _stages(rng: random.Random) -> Drawn:
    pair = [{"parallel.data": 2, "parallel.stages": 1}, {"parallel.data": 1, "parallel.stages": 2}]
    rng.shuffle(pair)
    return {path.split(".")[1]: value for path, value in pair[0].items()}, {}, pair[1]


def _zero(rng: random.Random) -> Drawn:
    old, new = rng.sample([0, 1, 2, 3], 2)
    return {"data": 2, "zero_stage": old}, {}, {"parallel.zero_stage": new}


def _recompute(rng: random.Random) -> Drawn:
    old, new = rng.sample(["none", "full"], 2)
    return _layout(rng) | {"activation_checkpointing": old}, {}, {"parallel.activation_checkpointing": new}


def _tensor(rng: random.Random) -> Drawn:
    pair = [{"parallel.data": 2, "parallel.tensor": 1}, {"parallel.data": 1, "parallel.tensor": 2}]
    rng.shuffle(pair)
    return {path.split(".")[1]: value for path, value in pair[0].items()}, {}, pair[1]


def _accumulation(rng: random.Random) -> Drawn:
    old, new = rng.sample([8, 16, 32, 64], 2)
    return _layout(rng), {"global_batch_size": old, "micro_batch_size": 4}, {"batch.global_batch_size": new}


def _offload(rng: random.Random) -> Drawn:
    return {"data": 2, "zero_stage": 2}, {}, {"parallel.offload_optimiser": "host"}


def _token_s(found: list[Facts]) -> float:
    steps = [float(statistics.median(facts.step_s)) for facts in found]
    return min(steps) / found[0].spec["batch"]["global_batch_size"]


def test_claims_of_random_changes_hold(
    forker: Forker,  # noqa: F811
    rank_data_dir: Path,  # noqa: F811
    tmp_path: Path,
):
    profile = profile_of_this_machine(tmp_path / "locks")
    errors: dict[str, list[float]] = {}
    wrong_signs = []
    print(f"\nseed {SEED}, {PAIRS} pairs, load {os.getloadavg()[0]:.1f}")
    for number, (kind, case) in zip(range(PAIRS), draw_pairs(random.Random(SEED)), strict=False):
        before, after = [], []
        for turn in range(TURNS):
            folder = tmp_path / f"{number} {turn}"
            bench = Bench(forker, rank_data_dir, folder, profile=profile, reads_host=True)
            before.append(bench.run(case))
            after.append(bench.run_without(case))
        claim = predict_gain(before[0], apply_changes(before[0].spec, case.alter or {})).share
        saving = 1 - _token_s(after) / _token_s(before)
        assert claim is not None, case
        errors.setdefault(kind, []).append(abs(claim - saving))
        if claim * saving < 0 and abs(saving) > SURE_SIGN:
            wrong_signs.append((case.name, claim, saving))
        print(
            f"{kind:13} {dict(case.layout)} {dict(case.batch)} w{case.model['width']} c{case.model['context']} "
            f"{case.alter}: claimed {100 * claim:6.1f} %, saved {100 * saving:6.1f} %",
            flush=True,
        )
    for kind, found in errors.items():
        print(
            f"{kind:13} median {100 * statistics.median(found):5.1f}, worst {100 * max(found):5.1f}, n = {len(found)}"
        )
    every = [error for found in errors.values() for error in found]
    print(
        f"all: median {100 * statistics.median(every):.1f} points, worst {100 * max(every):.1f}; {wrong_signs}"
    )
    assert statistics.median(every) <= 0.08
    assert not wrong_signs
