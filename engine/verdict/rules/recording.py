"""Recording: writing metrics, logs and traces between the steps."""

from __future__ import annotations

from engine.spec.spec import Spec
from engine.verdict import remedies
from engine.verdict.evidence import get_clock_evidence
from engine.verdict.facts import ClockFacts
from engine.verdict.remedies import Remedy
from engine.verdict.results import Evidence
from engine.verdict.rule import ClockRule
from engine.verdict.step_model import StepModel

LOCAL_S = 1e-4  # to record a step on a local disk, with all metrics of a rank


def _measure(clock: ClockFacts) -> float:
    return clock.sum("recording")


def _describe(clock: ClockFacts) -> dict[str, object]:
    return {"each": f"{1e3 * clock.sum('recording') / max(1, clock.num_steps):.3g} ms"}


def _predict(old: Spec, new: Spec) -> float:
    """A part that each step has is paid once per global batch."""
    return old.batch.global_batch_size / new.batch.global_batch_size


def _get_slow_part(model: StepModel) -> float:
    """All but what a line takes on a local disk."""
    clock = model.facts.clock
    seconds = _measure(clock) if clock else 0.0
    return max(0.0, 1 - LOCAL_S * clock.num_steps / seconds) if clock and seconds > 0 else 0.0


def _get_evidence(clock: ClockFacts) -> tuple[Evidence, ...]:
    return get_clock_evidence(clock, "recording", "step")


RULE = ClockRule(
    id="recording",
    limit="bandwidth",
    title="Recording",
    sentence="Writing metrics and logs takes {share} of {base}, {each} after each step.",
    formula="recording / training loop after its first step",
    measure=_measure,
    predict=_predict,
    describe=_describe,
    get_evidence=_get_evidence,
    remedies=(
        Remedy(
            "local_log_disk", "A local disk for the node's folder",
            "A rank writes one line per step to the attempt directory. On a disk of the machine that takes some "
            "microseconds; on a slow or full network file system it delays each step.",
            removes=_get_slow_part,
        ),
        remedies.ACCUMULATE,
    ),
    no_twin_reason="no field of a spec changes how fast the disk takes a line",
)  # fmt: skip
