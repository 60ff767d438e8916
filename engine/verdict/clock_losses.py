"""Parts of the wall clock outside the steps, as findings."""

from __future__ import annotations

from engine.verdict.facts import ClockFacts
from engine.verdict.formatting import format_share
from engine.verdict.results import Evidence, Finding
from engine.verdict.rule import ClockRule
from engine.verdict.rules import BY_ID, CLOCK_RULES
from engine.verdict.thresholds import LEAST_CLOCK_STEPS, NOTABLE, STRONG, get_severity

BASES = {"loop": "the time since the first step", "held": "the time on its devices"}
THRESHOLD = f">= {format_share(NOTABLE)}; strong above {format_share(STRONG)}"


def find_clock_losses(clock: ClockFacts | None) -> tuple[Finding, ...]:
    """The greatest first. Without records, or with too few steps, there is none."""
    if clock is None or clock.num_steps < LEAST_CLOCK_STEPS:
        return ()
    found = [_build_finding(rule, clock) for rule in CLOCK_RULES]
    return tuple(sorted((one for one in found if one.seconds > 0), key=lambda one: -one.share))


def get_weights(
    parts: tuple[Finding, ...], losses: tuple[Finding, ...], clock: ClockFacts | None
) -> dict[str, float]:
    """Return by rule what to compare findings by: shares of one time.

    That is the step, the training loop if a part of it is named, or all the time on the devices if a part of that is.
    """
    if not parts or clock is None:
        return {loss.rule: loss.share for loss in losses}
    rules = [rule for part in parts if isinstance(rule := BY_ID[part.rule], ClockRule)]
    if any(rule.base == "held" for rule in rules):
        whole_s, steps_s = clock.held_s, clock.sum("step")
    else:
        whole_s, steps_s = clock.loop_s, clock.sum("step", "lost_steps")
    weights = {loss.rule: loss.share * steps_s / whole_s for loss in losses}
    return weights | {part.rule: part.seconds / whole_s for part in parts}


def _build_finding(rule: ClockRule, clock: ClockFacts) -> Finding:
    seconds = rule.measure(clock)
    share = seconds / (clock.loop_s if rule.base == "loop" else clock.held_s)
    base = BASES[rule.base]
    sentence = rule.sentence.format(share=format_share(share), base=base, **rule.describe(clock))
    severity = get_severity(share) if seconds >= rule.least_s else ""
    evidence = (
        Evidence(rule.title, share, "share", "measured", THRESHOLD, rule.formula),
        *rule.get_evidence(clock),
    )
    return Finding(rule.id, rule.limit, rule.title, share, seconds, severity, sentence, evidence, base)
