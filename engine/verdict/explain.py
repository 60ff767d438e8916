"""Difference in speed between two runs, by part of the time per token."""

from __future__ import annotations

from dataclasses import dataclass

from engine.verdict.formatting import format_share
from engine.verdict.results import Verdict
from engine.verdict.rules import COMPUTE, LOSSES, Rule

PARTS: tuple[Rule, ...] = (COMPUTE, *LOSSES)  # rules whose shares are parts of a step
LEAST_DIFFERENCE = 0.01  # of the first run's time per token; smaller differences are not listed
SAME_WITHIN = 0.02
PARTS_LISTED = 4


@dataclass(frozen=True)
class TokenTime:
    """Seconds per token, by rule id; `other_s` is in no phase."""

    parts: dict[str, float]
    token_s: float

    @property
    def other_s(self) -> float:
        return max(0.0, self.token_s - sum(self.parts.values()))


def get_token_time(verdict: Verdict, tokens_per_step: int) -> TokenTime | None:
    """None if the run was never judged on steps."""
    if verdict.step_s is None or not verdict.findings:
        return None
    losses = {rule.id for rule in LOSSES}
    seconds = {COMPUTE.id: verdict.compute_s or 0.0}
    seconds |= {finding.rule: finding.seconds for finding in verdict.findings if finding.rule in losses}
    parts = {rule_id: value / tokens_per_step for rule_id, value in seconds.items()}
    return TokenTime(parts, verdict.step_s / tokens_per_step)


def explain_difference(first: TokenTime, other: TokenTime) -> str:
    """How `other` differs from `first`, in points of the first run's time per token."""
    change = other.token_s / first.token_s - 1
    points = [
        ((other.parts.get(rule.id, 0.0) - first.parts.get(rule.id, 0.0)) / first.token_s, rule)
        for rule in PARTS
    ]
    listed = [(value, rule) for value, rule in points if abs(value) >= LEAST_DIFFERENCE]
    listed.sort(key=lambda pair: -abs(pair[0]))
    parts = [_format_points(value, rule.part_name.lower()) for value, rule in listed[:PARTS_LISTED]]
    if abs(change) < SAME_WITHIN:
        head = "takes the same time a token"
        return (
            f"{head}, made up differently: {', '.join(parts)}." if parts else f"{head}, for the same reasons."
        )
    head = f"is {format_share(abs(change))} {'faster' if change < 0 else 'slower'}"
    return f"{head}: {', '.join(parts)}." if parts else f"{head}; no single part of the step explains it."


def _format_points(value: float, part: str) -> str:
    number = round(100 * abs(value))
    return f"{number} point{'' if number == 1 else 's'} {'less' if value < 0 else 'more'} {part}"
