"""Start-up: time on the devices before the second step of each attempt."""

from __future__ import annotations

from engine.telemetry.clock import BY_NAME, START_PARTS
from engine.verdict.evidence import get_clock_evidence
from engine.verdict.facts import ClockFacts
from engine.verdict.remedies import Remedy
from engine.verdict.results import Evidence
from engine.verdict.rule import ClockRule
from engine.verdict.step_model import StepModel

LEAST_S = 20.0  # a cold start of some seconds belongs to a short run and is no finding


def _measure(clock: ClockFacts) -> float:
    return clock.sum(*START_PARTS)


def _describe(clock: ClockFacts) -> dict[str, object]:
    longest = max(START_PARTS, key=lambda part: clock.seconds.get(part, 0.0))
    attempts = f" of {clock.num_attempts} attempts" if clock.num_attempts > 1 else ""
    return {
        "longest": BY_NAME[longest].title.lower(),
        "longest_s": f"{clock.sum(longest):.3g} s",
        "attempts": attempts,
    }


def _get_data_part(model: StepModel) -> float:
    clock = model.facts.clock
    return clock.sum("data") / _measure(clock) if clock and _measure(clock) > 0 else 0.0


def _get_repeated_part(model: StepModel) -> float:
    """The starts after the first one."""
    clock = model.facts.clock
    return 1 - 1 / max(1, clock.num_attempts) if clock else 0.0


def _get_evidence(clock: ClockFacts) -> tuple[Evidence, ...]:
    return get_clock_evidence(clock, *START_PARTS)


RULE = ClockRule(
    id="start_up",
    limit="compute",
    title="Start-up",
    sentence="Start-up{attempts} takes {share} of {base}, most of it {longest} ({longest_s}).",
    formula=f"(launch + imports + data + build + first step) / time on the devices; from {LEAST_S:.0f} s",
    measure=_measure,
    describe=_describe,
    get_evidence=_get_evidence,
    base="held",
    least_s=LEAST_S,
    remedies=(
        Remedy(
            "prepare_once", "Prepare data once",
            "A prepared corpus stays on the node: the next run with the same data and tokenizer starts without it. Put "
            "FOURWALLS_DATA_DIR on a disk that is kept.",
            removes=_get_data_part,
        ),
        Remedy(
            "longer_attempts", "Longer attempts",
            "The start is paid once per attempt: fewer interruptions spread it. Predicted: one attempt instead of "
            "all.",
            removes=_get_repeated_part,
        ),
    ),
    no_twin_reason="a twin has a start-up of its own",
)  # fmt: skip
