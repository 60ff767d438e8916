"""Why one run is faster than another: where each spends the time of a token, and what makes the difference."""

from __future__ import annotations

from dataclasses import dataclass

from engine.verdict import phrases
from engine.verdict.results import Verdict
from engine.verdict.rules import LOSSES

# Parts of a step as the shares have them, in the order in which bars are stacked.
PARTS: dict[str, str] = {"compute": "compute", "communication": "exposed communication"} | {
    rule.id: rule.title.lower() for rule in LOSSES if rule.id != "communication"
}
SAID_FROM = 0.01  # of the first run's time a token; smaller differences are not told
SAME_WITHIN = 0.02
PARTS_SAID = 4


@dataclass(frozen=True)
class Spent:
    """Seconds a token, by part; `other` is what stands in no phase."""

    parts: dict[str, float]
    token_s: float

    @property
    def other_s(self) -> float:
        return max(0.0, self.token_s - sum(self.parts.values()))


def spent(verdict: Verdict, tokens_per_step: int) -> Spent | None:
    """None where the run was never judged on steps."""
    if verdict.step_s is None or not verdict.findings:
        return None
    losses = {rule.id for rule in LOSSES}
    parts = {f.rule: f.seconds for f in verdict.findings if f.rule in losses}
    found = {"compute": verdict.compute_s or 0.0, **parts}
    return Spent(
        {name: value / tokens_per_step for name, value in found.items()}, verdict.step_s / tokens_per_step
    )


def sentence(first: Spent, other: Spent) -> str:
    """What `other` does differently, in points of the first run's time a token."""
    change = other.token_s / first.token_s - 1
    points = {
        name: (other.parts.get(name, 0.0) - first.parts.get(name, 0.0)) / first.token_s
        for name in PARTS
        if name in first.parts or name in other.parts
    }
    told = sorted(
        (name for name in points if abs(points[name]) >= SAID_FROM), key=lambda name: -abs(points[name])
    )
    parts = [
        f"{100 * abs(points[name]):.0f} point{'' if round(100 * abs(points[name])) == 1 else 's'} "
        f"{'less' if points[name] < 0 else 'more'} {PARTS[name]}"
        for name in told[:PARTS_SAID]
    ]
    if abs(change) < SAME_WITHIN:
        head = "takes the same time a token"
        return (
            f"{head}, made up differently: {', '.join(parts)}." if parts else f"{head}, for the same reasons."
        )
    head = f"is {phrases.share(abs(change))} {'faster' if change < 0 else 'slower'}"
    return f"{head}: {', '.join(parts)}." if parts else f"{head}; no single part of the step says why."
