"""Part for shapes: predicted memory and step time against real runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.model_math import counts
from engine.planner import plan
from engine.spec.spec import Spec, parse
from tests.gpu.parts import MeasuredCase
from tests.gpu.rank_bench import RankBench, RankRun, changed
from tests.gpu.results import ABSENT, MEASURED, Row

STEPS = 15
SMALL = {"layers": 8, "width": 512, "heads": 8, "ffn_width": 2048, "context": 512}
MIDDLE = {"layers": 12, "width": 768, "heads": 12, "ffn_width": 3072, "context": 1024}
LARGE = {"layers": 24, "width": 1024, "heads": 16, "ffn_width": 4096, "context": 1024}
WIDE = {"layers": 12, "width": 2048, "heads": 16, "ffn_width": 8192, "context": 1024}
LLAMA = {"norm": "rmsnorm", "feed_forward": "swiglu", "positions": "rotary", "kv_heads": 4, "biases": False}
WORDS = {"tokenizer": "bpe", "vocab_size": 50304}
FULL, SELECTIVE = {"activation_checkpointing": "full"}, {"activation_checkpointing": "selective"}


def _shape(model: Mapping[str, Any], micro: int, turns: int = 1, **more: Any) -> dict[str, Any]:
    batch = {"micro_batch_size": micro, "global_batch_size": micro * turns}
    return {"model": dict(model), "batch": batch, **more}


SHAPES: dict[str, dict[str, Any]] = {
    "small": _shape(SMALL, 32),
    "small, micro-batch 4": _shape(SMALL, 4, 4),
    "small, fp32": _shape(SMALL, 32, precision={"dtype": "fp32"}),
    "small, dropout": _shape({**SMALL, "dropout": 0.1}, 32),
    "small, SGD": _shape(SMALL, 32, optimiser={"name": "sgd"}),
    "small, words": _shape(SMALL, 32, data=WORDS),
    "small, words, tied": _shape({**SMALL, "tied_embeddings": True}, 32, data=WORDS),
    "small, context 2048": _shape({**SMALL, "context": 2048}, 8),
    "middle": _shape(MIDDLE, 16),
    "middle, ZeRO 1": _shape(MIDDLE, 16, parallel={"zero_stage": 1}),
    "middle, ZeRO 2": _shape(MIDDLE, 8, 2, parallel={"zero_stage": 2}),
    "middle, ZeRO 3": _shape(MIDDLE, 16, parallel={"zero_stage": 3}),
    "middle, words": _shape(MIDDLE, 16, data=WORDS),
    "middle, full recomputation": _shape(MIDDLE, 16, parallel=FULL),
    "middle, selective recomputation": _shape(MIDDLE, 16, parallel=SELECTIVE),
    "middle, Llama's shape": _shape({**MIDDLE, **LLAMA}, 16),
    "middle, optimiser in host memory": _shape(MIDDLE, 16, parallel={"zero_stage": 1, "offload_optimiser": "host"}),
    "large": _shape(LARGE, 8),
    "large, ZeRO 1, 4 micro-batches": _shape(LARGE, 8, 4, parallel={"zero_stage": 1}),
    "wide, words": _shape(WIDE, 8, data=WORDS),
}  # fmt: skip

BASE = {
    "data": {"corpus": "python-source", "tokenizer": "bytes"}, "parallel": {"data": 1, "zero_stage": 0},
    "precision": {"dtype": "bf16"}, "optimiser": {"warmup_steps": 1},
    "budget": {"steps": STEPS, "validate_every": 0, "checkpoint_every": 0, "keep_checkpoints": 1},
}  # fmt: skip


def spec_of_shape(changes: Mapping[str, Any], is_dry: bool) -> Spec:
    """The spec of a shape; in a dry run the same traits with tiny sizes, on a text of half a megabyte."""
    values = changed(BASE, {"model": SMALL, **_shape(SMALL, 32), **changes})
    if is_dry:
        model, batch = values["model"], values["batch"]
        turns = batch["global_batch_size"] // batch["micro_batch_size"]
        micro = max(1, batch["micro_batch_size"] // 8)
        tiny = {"layers": max(2, model["layers"] // 6), "width": model["width"] // 8, "heads": 4,
                "ffn_width": model["width"] // 4, "context": model["context"] // 16}  # fmt: skip
        values = changed(values, {
            "model": tiny, "batch": {"micro_batch_size": micro, "global_batch_size": micro * turns},
            "data": {"corpus": "python-docs", "tokenizer": "bytes", "vocab_size": 256}, "precision": {"dtype": "fp32"},
        })  # fmt: skip
    return parse(values)


def text_of(spec: Spec) -> str:
    words = "bytes" if spec.data.tokenizer == "bytes" else f"{spec.data.vocab_size:,} words"
    return f"{spec.data.corpus} in {words}"


def shape_cases(bench: RankBench) -> list[MeasuredCase]:
    return [
        MeasuredCase("memory", name, lambda bench, name=name: _measure(bench, name))  # type: ignore[misc]
        for name in SHAPES
    ]


def _measure(bench: RankBench, name: str) -> list[Row]:
    spec = spec_of_shape(SHAPES[name], bench.is_dry)
    run = bench.run(spec, steps_only=True)
    return [_memory_row(bench, name, run), _time_row(bench, name, run)]


def _memory_row(bench: RankBench, name: str, run: RankRun) -> Row:
    """On a GPU what the allocator held alive, without the context; on a CPU the process."""
    planned = plan(run.spec, bench.profile)
    about = f"{counts.parameters(run.spec) / 1e6:,.1f} M parameters, peak at '{planned.peak.binds}'"
    if not bench.on_cuda:
        whole = run.maximum("rss_bytes", "rank0")
        note = f"{about}; resident memory at the ends of steps"
        return Row("memory", name, "B", planned.peak.total_bytes, whole, note=note)
    assert bench.profile, "the context's bytes are of the profile, and the probe failed"
    context = bench.profile.resident_bytes
    used = run.facts(bench.profile).devices[0].peak_bytes
    more = {"device_predicted_bytes": planned.peak.total_bytes, "device_used_bytes": used,
            "reserved_bytes": run.maximum("memory_reserved_bytes", "rank0")}  # fmt: skip
    return Row("memory", name, "B", planned.peak.total_bytes - context, run.maximum("memory_peak_bytes", "rank0"),
               note=f"{about}; allocated, without the context", more=more)  # fmt: skip


def _time_row(bench: RankBench, name: str, run: RankRun) -> Row:
    measured, time = run.median("step_s"), plan(run.spec, bench.profile).time if bench.profile else None
    reason = "" if time else "not predicted: there is no probe or no rate for the number format"
    low_high = {"low_s": time.step_s.low, "high_s": time.step_s.high} if time else {}
    return Row("step time", name, "s", time.step_s.point if time else None, measured,
               standing=MEASURED if measured is not None else ABSENT, note=reason, more=low_high)  # fmt: skip
