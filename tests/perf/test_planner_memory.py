"""Predicted memory against the peak of real ranks, over layouts, optimisers and recomputation.

The measurement is the kernel's peak resident memory over three steps. `own_pages` makes it follow live memory
(memory_ranks.py); with malloc's defaults, freed blocks stay with the process, which no formula predicts. The
calibration of a device learns that difference; here it is the median of all other configurations.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.model_math import counts
from engine.planner import HardwareProfile, plan
from engine.spec.spec import Spec, parse
from tests.engine.rank import attempts
from tests.engine.rank.attempts import write_attempt
from tests.perf.measuring_forker import MeasuringForker
from tests.perf.memory_ranks import ATTEMPT_LIMIT_S

pytestmark = [pytest.mark.perf, pytest.mark.ranks, pytest.mark.timeout(1500)]

SMALL = {"layers": 4, "width": 128, "heads": 4, "ffn_width": 512, "context": 128}
MIDDLE = {"layers": 6, "width": 256, "heads": 8, "ffn_width": 1024, "context": 128}
LARGE = {"layers": 8, "width": 384, "heads": 6, "ffn_width": 1536, "context": 256}
LLAMA = {"norm": "rmsnorm", "feed_forward": "swiglu", "positions": "rotary", "kv_heads": 2, "biases": False}
FULL, SELECTIVE = {"activation_checkpointing": "full"}, {"activation_checkpointing": "selective"}
# Name -> model, layout, micro-batch, micro-batches of each data rank, and other differences.
CONFIGURATIONS: dict[str, tuple[dict[str, Any], dict[str, Any], int, int, dict[str, Any]]] = {
    "small, 1 rank, ZeRO 0": (SMALL, {"zero_stage": 0}, 8, 1, {}),
    "small, 1 rank, ZeRO 0, SGD": (SMALL, {"zero_stage": 0}, 8, 2, {"optimiser": {"name": "sgd"}}),
    "small, 2 ranks, ZeRO 1, 32 sequences": (SMALL, {"data": 2}, 32, 1, {}),
    "small, dropout": (SMALL | {"dropout": 0.1}, {"zero_stage": 0}, 16, 1, {}),
    "small, vocabulary 8192": (SMALL, {"zero_stage": 0}, 8, 1, {"data": {"tokenizer": "bpe", "vocab_size": 8192}}),
    "small, full recomputation": (SMALL | {"layers": 8}, {"zero_stage": 0} | FULL, 16, 1, {}),
    "small, selective recomputation": (SMALL | {"layers": 8}, {"zero_stage": 0} | SELECTIVE, 16, 1, {}),
    "middle, 1 rank, ZeRO 0": (MIDDLE, {"zero_stage": 0}, 4, 2, {}),
    "middle, 2 ranks, ZeRO 0": (MIDDLE, {"data": 2, "zero_stage": 0}, 4, 1, {}),
    "middle, 1 rank, ZeRO 1": (MIDDLE, {"zero_stage": 1}, 4, 2, {}),
    "middle, 2 ranks, ZeRO 1": (MIDDLE, {"data": 2, "zero_stage": 1}, 4, 2, {}),
    "middle, 2 ranks, ZeRO 2": (MIDDLE, {"data": 2, "zero_stage": 2}, 4, 2, {}),
    "middle, 2 ranks, ZeRO 3": (MIDDLE, {"data": 2, "zero_stage": 3}, 4, 1, {}),
    "middle, 2 ranks, ZeRO 1, SGD": (MIDDLE, {"data": 2}, 4, 1, {"optimiser": {"name": "sgd"}}),
    "middle, 2 ranks, ZeRO 3, full": (MIDDLE, {"data": 2, "zero_stage": 3} | FULL, 8, 1, {}),
    "middle, Llama's shape": (MIDDLE | LLAMA, {"zero_stage": 0}, 8, 1, {}),
    "middle, tied": (MIDDLE | {"tied_embeddings": True}, {"data": 2}, 8, 1, {}),
    "middle, 2 stages, ZeRO 0": (MIDDLE, {"stages": 2, "zero_stage": 0}, 2, 4, {}),
    "middle, 2 stages, ZeRO 1": (MIDDLE, {"stages": 2}, 4, 4, {}),
    "middle, 2 stages x 2 data ranks": (MIDDLE, {"data": 2, "stages": 2}, 2, 4, {}),
    "middle, 2 stages, full": (MIDDLE, {"stages": 2} | FULL, 4, 4, {}),
    "middle, 2 tensor ranks": (MIDDLE, {"tensor": 2, "zero_stage": 1}, 8, 1, {}),
    "large, 1 rank, ZeRO 0": (LARGE, {"zero_stage": 0}, 2, 1, {}),
    "large, 2 ranks, ZeRO 2": (LARGE, {"data": 2, "zero_stage": 2}, 2, 1, {}),
}  # fmt: skip
CPU = HardwareProfile("this machine", "cpu", "measured", "a test", {"fp32": 1e10})


def spec_of(name: str) -> Spec:
    model, layout, micro, turns, more = CONFIGURATIONS[name]
    parallel = {"data": 1, "stages": 1, "zero_stage": 1} | layout
    values = {
        "model": model, "data": {"tokenizer": "bytes"}, "parallel": parallel,
        "batch": {"micro_batch_size": micro, "global_batch_size": micro * turns * parallel["data"]},
        "precision": {"dtype": "fp32"}, "optimiser": {"warmup_steps": 1},
        "budget": {"steps": 4, "validate_every": 0, "checkpoint_every": 0},
    }  # fmt: skip
    return parse(values | {part: values.get(part, {}) | fields for part, fields in more.items()})  # type: ignore[operator]


def measured(folder: Path, own_pages: bool) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    forker = MeasuringForker({"WITH_SAVES": "1"} | ({"OWN_PAGES": "1"} if own_pages else {}))
    try:
        for number, name in enumerate(CONFIGURATIONS):
            spec = spec_of(name)
            directory = write_attempt(folder / f"{own_pages}-{number}", spec, folder / "data")
            forker.start(directory).succeeded()
            ranks = range(spec.parallel.world_size)
            yield name, [json.loads((directory.path / f"memory{rank}.json").read_text()) for rank in ranks]
    finally:
        forker.close()


def test_predicted_memory_against_what_ranks_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "ATTEMPT_LIMIT_S", ATTEMPT_LIMIT_S)
    growths, alive, resident = [], {}, {}
    print(f"\nwith pages of their own: MB of the fullest rank; load {os.getloadavg()[0]:.1f}")
    for name, ranks in measured(tmp_path, own_pages=True):
        whole, predicted = fullest_rank(ranks), plan(spec_of(name), CPU).peak.total_bytes
        before = statistics.median(rank["baseline_bytes"] for rank in ranks)
        growths.append(abs((predicted - before) / (whole - before) - 1))
        alive[name] = predicted / whole - 1
        print(
            format_error(name, predicted, whole),
            f"growth alone {(predicted - before) / (whole - before) - 1:+.1%}",
        )
    print("with malloc as it is")
    for name, ranks in measured(tmp_path, own_pages=False):
        whole, predicted = fullest_rank(ranks), plan(spec_of(name), CPU).peak.total_bytes
        resident[name] = whole / predicted
        print(format_error(name, predicted, whole))
    uncorrected = [abs(1 / ratio - 1) for ratio in resident.values()]
    corrected = [abs(calibrated_by_others(resident, name) / ratio - 1) for name, ratio in resident.items()]
    print_errors("own pages", [abs(error) for error in alive.values()])
    print_errors("own pages, growth alone", growths)
    print_errors("malloc as it is, uncorrected", uncorrected)
    print_errors("malloc as it is, corrected by the other runs", corrected)
    assert len(alive) >= 20
    for errors in ([abs(error) for error in alive.values()], growths, corrected):
        assert statistics.median(errors) <= 0.05
        assert statistics.quantiles(errors, n=10)[-1] <= 0.1


def fullest_rank(ranks: list[dict[str, Any]]) -> float:
    return float(max(max(rank["phases"].values()) for rank in ranks))


def calibrated_by_others(ratios: dict[str, float], name: str) -> float:
    return statistics.median(ratio for other, ratio in ratios.items() if other != name)


def format_error(name: str, predicted: float, whole: float) -> str:
    binds = plan(spec_of(name), CPU).peak.binds
    return (
        f"  {name:40} {counts.parameters(spec_of(name)) / 1e6:5.1f} M  predicted {predicted / 1e6:6.0f} ({binds}), "
        f"measured {whole / 1e6:6.0f}: {predicted / whole - 1:+.1%};"
    )


def print_errors(title: str, errors: list[float]) -> None:
    tenth = statistics.quantiles(errors, n=10)[-1]
    print(
        f"{title}: median error {statistics.median(errors):.1%}, p90 {tenth:.1%}, worst {max(errors):.1%}"
        f" of {len(errors)}"
    )
