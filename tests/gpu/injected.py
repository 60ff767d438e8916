"""Part for bottlenecks: 30 injected cases with the verdict of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.spec.spec import Spec, parse
from engine.verdict.judge import judge
from engine.verdict.results import Verdict
from engine.verdict.whatif import predict_gain
from tests.gpu.parts import MeasuredCase
from tests.gpu.rank_bench import RankBench, RankRun, changed
from tests.gpu.results import ABSENT, DIFFERENCE, MEASURED, Row
from tests.gpu.shapes import SHAPES, spec_of_shape

STEPS = {False: 30, True: 16}  # by whether it is a dry run
WORK = frozenset({"compute", "kernels", "memory_bandwidth", "power", "heat"})
SMALL_PIECES = frozenset({"dispatch", "idle", "host"})
OFFLOADED = frozenset({"optimiser", "host", "idle", "dispatch"})


@dataclass(frozen=True)
class InjectedCause:
    """A cause on one device. `expected`: rules of which the verdict names one. The clean run has the same spec without
    the injection, or the one where `changes` are left out."""

    name: str
    expected: frozenset[str]
    inject: Mapping[str, Any] = field(default_factory=dict)
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    whole_clock: bool = False  # validations and checkpoints are run, and their cost is a share of the clock
    is_compared: bool = True


def _one(rule: str, name: str, changes: Mapping[str, Any] | None = None, **inject: Any) -> InjectedCause:
    return InjectedCause(name, frozenset({rule}), inject, changes or {})


def _clock(rule: str, name: str, budget: Mapping[str, int], **inject: Any) -> InjectedCause:
    return InjectedCause(name, frozenset({rule}), inject, {"budget": budget}, whole_clock=True)


def _pieces(name: str, changes: Mapping[str, Any], is_compared: bool = True) -> InjectedCause:
    return InjectedCause(name, SMALL_PIECES, changes=changes, is_compared=is_compared)


def _clean(name: str, changes: Mapping[str, Any]) -> InjectedCause:
    return InjectedCause(name, WORK, changes=changes, is_compared=False)


def _offload(name: str, changes: Mapping[str, Any], **inject: Any) -> InjectedCause:
    return InjectedCause(name, OFFLOADED, inject, {"parallel": changes})


HOST_1 = {"zero_stage": 1, "offload_optimiser": "host"}
HOST_3 = {"zero_stage": 3, "offload_optimiser": "host", "offload_parameters": "host"}
CAUSES: tuple[InjectedCause, ...] = (
    _clean("clean", {}),
    _clean("clean, longer context", {"model": {"context": 1024}, "batch": {"micro_batch_size": 16}}),
    _clean("clean, full recomputation", {"parallel": {"activation_checkpointing": "full"}}),
    _one("input", "data, 1 ms a sequence", data_s=0.001),
    _one("input", "data, 3 ms a sequence", data_s=0.003),
    _one("input", "data, 6 ms a sequence", data_s=0.006),
    _one("input", "data, 5 ms a sequence, micro-batch 8", {"batch": {"micro_batch_size": 8}}, data_s=0.005),
    _pieces("micro-batches of 1", {"batch": {"micro_batch_size": 1}}),
    _pieces("micro-batches of 2", {"batch": {"micro_batch_size": 2}}),
    _pieces("micro-batches of 4", {"batch": {"micro_batch_size": 4}}),
    _pieces("one sequence a step", {"batch": {"micro_batch_size": 1, "global_batch_size": 1}}),
    _pieces("a narrow model", {"model": {"width": 64, "heads": 2, "ffn_width": 256}}, is_compared=False),
    _pieces("a deep, narrow model", {"model": {"layers": 24, "width": 128, "heads": 4, "ffn_width": 512},
                                     "batch": {"micro_batch_size": 8}}, is_compared=False),
    InjectedCause("fp32 against bf16", WORK, changes={"precision": {"dtype": "fp32"}}),
    InjectedCause("tf32 against bf16", WORK, changes={"precision": {"dtype": "tf32"}}),
    InjectedCause("fp32, micro-batches of 1", SMALL_PIECES | WORK,
                  changes={"precision": {"dtype": "fp32"}, "batch": {"micro_batch_size": 1}}),
    _offload("optimiser in host memory", HOST_1),
    _offload("optimiser in host memory, unpinned copies", HOST_1, unpinned=True),
    _offload("parameters and optimiser in host memory", HOST_3),
    _one("host", "host, 50 ms a step", host_s=0.05),
    _one("host", "host, 200 ms a step", host_s=0.2),
    _one("between_steps", "between the steps, 60 ms", between_s=0.06),
    _clock("validation", "validation after each step", {"validate_every": 1}),
    _clock("validation", "slow validation every 2 steps", {"validate_every": 2}, validation_s=0.3),
    _clock("checkpoints", "checkpoint after each step", {"checkpoint_every": 1}),
    _clock("checkpoints", "slow copies for checkpoints", {"checkpoint_every": 2}, snapshot_s=0.3),
    _one("recording", "a log disk of 0.1 s a write", record_s=0.1),
    InjectedCause("three neighbours on the rank's core", frozenset({"contention", "dispatch", "host"}),
                  {"neighbours": 3}),
    InjectedCause("blocks that wait on the host", WORK | SMALL_PIECES, {"block_s": 0.0005}),
    InjectedCause("data and host alike", frozenset({"input", "host"}), {"data_s": 0.002, "host_s": 0.064}),
)  # fmt: skip


def injected_cases(bench: RankBench) -> list[MeasuredCase]:
    clean: dict[str, float] = {}
    return [
        MeasuredCase("verdict", cause.name, lambda bench, cause=cause: [_judge(bench, cause, clean)])  # type: ignore[misc]
        for cause in CAUSES
    ]


def spec_of_cause(cause: InjectedCause, is_dry: bool) -> Spec:
    return _spec(cause.changes, is_dry)


def _spec(changes: Mapping[str, Mapping[str, Any]], is_dry: bool) -> Spec:
    """In a dry run sizes are small, and fp32 stands for what a CPU does not train in."""
    base = spec_of_shape(SHAPES["small"], is_dry).model_dump()
    tiny = {"micro_batch_size": 8, "global_batch_size": 8} if is_dry else {}
    values = changed(base, {"batch": tiny, "budget": {"steps": STEPS[is_dry]}})
    values = changed(values, changes)
    if is_dry:
        dtype = "bf16" if values["precision"]["dtype"] == "bf16" else "fp32"
        values = changed(values, {
            "batch": {"micro_batch_size": min(8, values["batch"]["micro_batch_size"])},
            "model": {"context": min(32, values["model"]["context"])}, "precision": {"dtype": dtype},
        })  # fmt: skip
    return parse(values)


def _judge(bench: RankBench, cause: InjectedCause, clean: dict[str, float]) -> Row:
    if cause.inject.get("unpinned") and not bench.on_cuda:
        return Row("verdict", cause.name, standing=ABSENT, note="copies are pinned for a GPU only")
    run = _run(bench, cause, spec_of_cause(cause, bench.is_dry))
    facts = run.facts(bench.profile)
    verdict, predicted, measured = judge(facts), None, None
    is_same = bench.is_dry and set(cause.changes) == {"precision"}  # a dry run is in fp32 anyway
    if cause.is_compared and not is_same:
        measured = 1 - _clean_sequence_s(bench, cause, clean) / run.sequence_s
        predicted = _claim(facts, cause, verdict, bench)
    is_right = bool(cause.expected & set(verdict.rules))
    named = verdict.name or verdict.nothing
    note = f"{'' if is_right else 'NOT as expected: '}{named} {verdict.severity}".strip()
    return Row("verdict", cause.name, "share", predicted, measured, DIFFERENCE, MEASURED, note,
               _details(cause, verdict, is_right))  # fmt: skip


def _details(cause: InjectedCause, verdict: Verdict, is_right: bool) -> dict[str, Any]:
    return {
        "expected": sorted(cause.expected), "named": list(verdict.rules), "is_right": is_right,
        "severity": verdict.severity, "sentence": verdict.sentence, "provisional": list(verdict.provisional),
        "step_s": verdict.step_s, "explained_share": verdict.explained_share,
        "findings": {finding.rule: finding.share for finding in verdict.findings},
        "states": [state.rule for state in verdict.states],
        "remedies": {one.title: one.gain_share for one in verdict.remedies},
    }  # fmt: skip


def _run(bench: RankBench, cause: InjectedCause, spec: Spec) -> RankRun:
    switches = {} if cause.whole_clock else {"steps_only": True}
    return bench.run(spec, **switches, **cause.inject)


def _clean_sequence_s(bench: RankBench, cause: InjectedCause, clean: dict[str, float]) -> float:
    """Seconds of a sequence without the cause; each clean spec runs once."""
    changes = cause.changes if cause.inject and not cause.whole_clock else {}
    if "unpinned" in cause.inject or cause.changes.get("parallel"):
        changes = {}
    key = repr(changes)
    if key not in clean:
        clean[key] = bench.run(_spec(changes, bench.is_dry), steps_only=True).sequence_s
    return clean[key]


def _claim(facts: Any, cause: InjectedCause, verdict: Verdict, bench: RankBench) -> float | None:
    """The share that the what-if predicts for the clean spec, or that the verdict gives the cause."""
    if cause.inject or cause.whole_clock:
        return sum(verdict.get_share(rule) for rule in cause.expected & set(verdict.rules)) or None
    return predict_gain(facts, _spec({}, bench.is_dry)).share
