"""The planner's memory against what real ranks hold at most, over layouts, optimisers and ways of recomputing.

Measured is what the kernel counted as resident at the highest moment of three steps, less what the process had before
its model was built. `own_pages` makes that follow what is alive (memory_ranks.py); with malloc's own ways, freed pieces
stay with the process, which no formula knows: printed beside it, and learnt by the calibration of a device.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine import arithmetic
from engine.planner import DeviceProfile, plan
from engine.spec import Spec, parse
from tests.engine.rank import attempts
from tests.engine.rank.attempts import write_attempt
from tests.perf.measuring import MeasuringForker
from tests.perf.memory_ranks import ATTEMPT_LIMIT_S

pytestmark = [pytest.mark.perf, pytest.mark.ranks, pytest.mark.timeout(1500)]

SMALL = {"layers": 4, "width": 128, "heads": 4, "ffn_width": 512, "context": 128}
MIDDLE = {"layers": 6, "width": 256, "heads": 8, "ffn_width": 1024, "context": 128}
LARGE = {"layers": 8, "width": 384, "heads": 6, "ffn_width": 1536, "context": 256}
LLAMA = {"norm": "rmsnorm", "feed_forward": "swiglu", "positions": "rotary", "kv_heads": 2, "biases": False}
FULL, SELECTIVE = {"activation_checkpointing": "full"}, {"activation_checkpointing": "selective"}
# Name -> model, layout, micro-batch, micro-batches of each data rank, and what else differs.
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
CPU = DeviceProfile("this machine", "cpu", "measured", "a test", {"fp32": 1e10})


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
    forker = MeasuringForker({"OWN_PAGES": "1"} if own_pages else {})
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
    errors: dict[bool, list[float]] = {True: [], False: []}
    bare: list[float] = []
    for own_pages in (True, False):
        print(
            f"\n{'with pages of their own' if own_pages else 'with malloc as it is'}: MB of the fullest rank"
        )
        for name, ranks in measured(tmp_path, own_pages):
            planned = plan(spec_of(name), CPU)
            whole = max(max(rank["phases"].values()) for rank in ranks)
            before = statistics.median(rank["baseline_bytes"] for rank in ranks)
            error = planned.peak.total_bytes / whole - 1
            growth = (planned.peak.total_bytes - before) / (whole - before) - 1
            errors[own_pages].append(abs(error))
            if own_pages:
                bare.append(abs(growth))
            count = arithmetic.parameters(spec_of(name)) / 1e6
            print(
                f"  {name:40} {count:5.1f} M  predicted {planned.peak.total_bytes / 1e6:6.0f}"
                f" ({planned.peak.binds}), measured {whole / 1e6:6.0f}: {error:+.1%}; growth alone {growth:+.1%}"
            )
    for title, found in (
        ("whole process, own pages", errors[True]),
        ("growth alone, own pages", bare),
        ("whole process, malloc as it is", errors[False]),
    ):
        tenth = statistics.quantiles(found, n=10)[-1]
        print(f"{title}: median error {statistics.median(found):.1%}, p90 {tenth:.1%} of {len(found)}")
    assert len(errors[True]) >= 20
    assert statistics.median(errors[True]) < 0.1
