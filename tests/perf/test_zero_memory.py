"""Peak memory of a rank by ZeRO stage, relative to stage 0, against the paper's formula and our plan.

Rajbhandari et al., arXiv 1910.02054, sec. 3: parameters, gradients and optimiser state are 4 + 4 + 8 bytes in
32 bits with Adam, and stage 1, 2, 3 divides the last, two, all of them by the number of ranks. DeepSpeed
holds more: a flat copy of its shard of the parameters, the parameters gathered by ZeRO 3, and a bucket for
gradients. The bucket is scaled so that its share of this model is that of the default bucket in a model of
500 M parameters; at its full size it would hold a small model as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.model_math import counts
from engine.planner import HardwareProfile, memory, plan
from engine.spec.spec import Spec, parse
from tests.engine.rank import attempts
from tests.engine.rank.attempts import write_attempt
from tests.perf.measuring_forker import MeasuringForker
from tests.perf.memory_ranks import ATTEMPT_LIMIT_S

pytestmark = [pytest.mark.perf, pytest.mark.ranks, pytest.mark.timeout(1500)]

MODEL = {"layers": 6, "width": 384, "heads": 6, "ffn_width": 1536, "context": 32}
CPU = HardwareProfile("this machine", "cpu", "measured", "a test", {"fp32": 1e10})
BUCKET_ELEMENTS = 1_000_000
WITHIN = 0.15  # of the planned ratio


def paper_bytes(stage: int, ranks: int) -> float:
    """Bytes of one parameter on a rank."""
    parameters, gradients, state = 4.0, 4.0, 8.0
    shared = {0: 0.0, 1: state, 2: state + gradients, 3: state + gradients + parameters}[stage]
    return parameters + gradients + state - shared + shared / ranks


def spec_of(stage: int, ranks: int) -> Spec:
    return parse({
        "name": "memory", "model": MODEL, "data": {"tokenizer": "bytes"},
        "parallel": {"data": ranks, "zero_stage": stage},
        "batch": {"micro_batch_size": 1, "global_batch_size": 2 * ranks}, "precision": {"dtype": "fp32"},
        "optimiser": {"warmup_steps": 1}, "budget": {"steps": 4, "validate_every": 0, "checkpoint_every": 0},
    })  # fmt: skip


@pytest.fixture
def forker(monkeypatch: pytest.MonkeyPatch) -> Iterator[MeasuringForker]:
    monkeypatch.setattr(attempts, "ATTEMPT_LIMIT_S", ATTEMPT_LIMIT_S)
    monkeypatch.setattr(memory, "BUCKET_ELEMENTS", BUCKET_ELEMENTS)
    found = MeasuringForker({"OWN_PAGES": "1", "BUCKET_ELEMENTS": str(BUCKET_ELEMENTS)})
    yield found
    found.close()


def test_peak_memory_by_zero_stage(forker: MeasuringForker, tmp_path: Path) -> None:
    count = counts.parameters(spec_of(0, 2))
    print(f"\n{count / 1e6:.1f} M parameters; MB of the fullest rank beyond its process, ratios to ZeRO 0")
    print("ranks  ZeRO  at rest   peak   peak ratio   the plan's   the paper's")
    for ranks in (2, 4):
        peaks, planned = {}, {}
        for stage in (0, 1, 2, 3):
            spec = spec_of(stage, ranks)
            figures = _measured(forker, tmp_path, spec)
            peaks[stage] = max(max(one["phases"].values()) - one["baseline_bytes"] for one in figures)
            peak = plan(spec, CPU).peak
            during = max(
                size for moment, size in peak.moments.items() if moment != "checkpoint"
            )  # nothing is saved
            planned[stage] = during - peak.framework_bytes
            rest = max(one["resting_bytes"] - one["baseline_bytes"] for one in figures)
            paper = paper_bytes(stage, ranks) / paper_bytes(0, ranks)
            print(
                f"{ranks:>5}{stage:>6}{rest / 1e6:>9.0f}{peaks[stage] / 1e6:>7.0f}{peaks[stage] / peaks[0]:>13.2f}"
                f"{planned[stage] / planned[0]:>13.2f}{paper:>14.2f}"
            )
        for stage in (1, 2, 3):
            assert peaks[stage] < peaks[0], f"ZeRO {stage} must hold less than ZeRO 0"
            share, expected = peaks[stage] / peaks[0], planned[stage] / planned[0]
            assert share == pytest.approx(expected, abs=WITHIN)


def _measured(forker: MeasuringForker, folder: Path, spec: Spec) -> list[dict[str, Any]]:
    name = f"{spec.parallel.data}-{spec.parallel.zero_stage}"
    directory = write_attempt(folder / name, spec, folder / "data")
    forker.start(directory).succeeded()
    return [
        json.loads((directory.path / f"memory{rank}.json").read_text())
        for rank in range(spec.parallel.world_size)
    ]
