"""Which hardware limit a run hits, what that costs and what would help: `judge` turns facts into a verdict.

Losses (input, communication, bubble, imbalance, host) are time of a step that the model's arithmetic does not need;
they are compared with each other. The greatest is the verdict where it takes 10 % or more and leads the next by five
points; two that are nearer make it mixed. Where none takes 10 %, compute is the verdict, with what holds it back. So
the good case is named too, and is never called strong. What is true beside the shares stands in `states`.
"""

from __future__ import annotations

from engine.verdict import phrases, remedies
from engine.verdict.bars import bars_of
from engine.verdict.compute_bound import inside_of
from engine.verdict.facts import Facts, from_json, to_json
from engine.verdict.findings import doubts, losses_of
from engine.verdict.results import Finding, State, Verdict
from engine.verdict.rules import LEAD, NOTABLE, RULES, RULES_VERSION, SURE_COVERAGE, SURE_STEPS
from engine.verdict.shares import shares_of
from engine.verdict.states import states_of

__all__ = ["RULES", "RULES_VERSION", "Facts", "Verdict", "from_json", "judge", "to_json"]


def judge(facts: Facts) -> Verdict:
    """A pure function of its facts: the same facts and rules give the same verdict at any time."""
    if facts.nothing or not facts.num_steps or not facts.ranks:
        why = facts.nothing or "No step has been measured yet."
        return Verdict(RULES_VERSION, nothing=why, states=states_of(facts))
    shares, states = shares_of(facts), states_of(facts)
    losses, inside = losses_of(facts, shares), inside_of(facts, shares)
    winners = _winners(losses, inside)
    limits = {winner.limit for winner in winners}
    verdict = Verdict(
        RULES_VERSION,
        rules=tuple(winner.rule for winner in winners),
        limit=limits.pop() if len(limits) == 1 else "mixed",
        share=winners[0].share,
        severity=winners[0].severity,
        sentence=_sentence(winners),
        provisional=(*_provisional(facts, states), *doubts(facts, shares)),
        step_s=shares.step_s,
        compute_s=shares.seconds["compute"],
        num_steps=facts.num_steps,
        first_step=facts.first_step,
        last_step=facts.last_step,
        findings=(*losses, inside),
        states=states,
        bars=bars_of(facts, shares, losses),
    )
    return remedies.added(verdict, facts)


def _winners(losses: tuple[Finding, ...], inside: Finding) -> tuple[Finding, ...]:
    named = [loss for loss in losses if loss.share >= NOTABLE]
    if not named:
        return (inside,)
    first, rest = named[0], losses[1:]
    near = [loss for loss in rest if first.share - loss.share < LEAD]
    return (first, near[0]) if near else (first,)


def _sentence(winners: tuple[Finding, ...]) -> str:
    if len(winners) == 1:
        return winners[0].sentence
    first, second = winners
    return (
        f"No single limit: {first.title.lower()} takes {phrases.share(first.share)} of each step and "
        f"{second.title.lower()} {phrases.share(second.share)}."
    )


def _provisional(facts: Facts, states: tuple[State, ...]) -> tuple[str, ...]:
    said = []
    if facts.num_steps < SURE_STEPS:
        said.append(f"{facts.num_steps} steady steps so far; {SURE_STEPS} are needed to be sure.")
    if facts.coverage < SURE_COVERAGE:
        said.append(
            f"{phrases.share(facts.coverage)} of the steps looked at are told to their end; "
            f"{phrases.share(SURE_COVERAGE)} are needed."
        )
    said += [state.sentence for state in states if state.rule in ("contended", "unhealthy")]
    return tuple(said)
