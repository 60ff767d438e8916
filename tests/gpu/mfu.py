"""Parts for models of known size: share of the peak, rate of greedy decoding."""

from __future__ import annotations

import json

from engine.hardware.peaks import find_peak
from engine.local import load_spec
from engine.planner import plan, profile_from_peak
from engine.spec.spec import Spec
from tests.engine.rank.attempts import ROOT
from tests.gpu.forker import DECODED
from tests.gpu.parts import MeasuredCase
from tests.gpu.rank_bench import RankBench
from tests.gpu.results import ABSENT, DIFFERENCE, MEASURED, Row
from tests.perf.test_mfu import SPECS, TARGETS, TINY

STEPS = {"124m": 40, "1.3b": 20}
DECODING = {
    False: {"batches": [1, 8, 64], "prompt": 64, "tokens": 64},
    True: {"batches": [1, 2], "prompt": 4, "tokens": 8},
}


def load(name: str, is_dry: bool) -> Spec:
    changes = TINY if is_dry else {"budget.steps": STEPS[name]}
    return load_spec(str(SPECS / f"{name}.yaml"), [f"{field}={value}" for field, value in changes.items()])


def mfu_cases(bench: RankBench) -> list[MeasuredCase]:
    return [
        MeasuredCase("MFU", _title(name, bench), lambda bench, name=name: _measure_mfu(bench, name))  # type: ignore[misc]
        for name in TARGETS
    ]


def _title(name: str, bench: RankBench) -> str:
    return f"{name}, tiny stand-in" if bench.is_dry else f"{name}, bf16"


def _measure_mfu(bench: RankBench, name: str) -> list[Row]:
    spec, title = load(name, bench.is_dry), _title(name, bench)
    run = bench.run(spec, steps_only=True)
    peak = find_peak(bench.device.name) if bench.on_cuda else None
    sheet = plan(spec, profile_from_peak(peak)).time if peak else None
    probed = plan(spec, bench.profile).time if bench.profile else None
    mfu = run.median("mfu_share")
    target = f"target {TARGETS[name]:.0%} on an H100 or H200; predicted from the data sheet"
    no_peak = f"{bench.device.name} has no peak in the table, and none is guessed"
    return [
        Row("MFU", title, "share", sheet.mfu_share.point if sheet and sheet.mfu_share else None, mfu, DIFFERENCE,
            MEASURED if mfu is not None else ABSENT, target if mfu is not None else no_peak),
        Row("throughput", title, "tokens/s", probed.tokens_per_s.point if probed else None,
            run.median("tokens_per_s"), note="predicted after the probe"),
    ]  # fmt: skip


def decode_cases(bench: RankBench) -> list[MeasuredCase]:
    return [
        MeasuredCase("decoding", _title(name, bench), lambda bench, name=name: _measure_decoding(bench, name))  # type: ignore[misc]
        for name in TARGETS
    ]


def _measure_decoding(bench: RankBench, name: str) -> list[Row]:
    spec, wanted = load(name, bench.is_dry), DECODING[bench.is_dry]
    run = bench.run(spec, decode=wanted)
    rates = json.loads((run.attempt.directory.path / DECODED).read_bytes())
    how = "with a KV cache" if has_cache() else "without a KV cache: each token reads its whole prefix again"
    asked = f"{_title(name, bench)}, {wanted['tokens']} tokens after {wanted['prompt']}"
    return [
        Row("decoding", f"{asked}, batch {batch}", "tokens/s", measured=rate,
            note=f"greedy, {how}; the planner predicts no decoding")
        for batch, rate in rates.items()
    ]  # fmt: skip


def has_cache() -> bool:
    """Whether the engine's generation keeps keys and values."""
    return "cache" in (ROOT / "engine" / "rank" / "run" / "generate.py").read_text()
