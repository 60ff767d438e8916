"""Verdict of a run: the hardware limit it meets, the cost and the remedies.

Losses (pressures on the host, input, communication, imbalance, host work, update, small micro-batches, bubble) are time
of a step that the model's arithmetic does not need; they compete with each other, and by their share of the clock with
its parts outside the steps (validation, checkpoints, recording, start-up). The greatest is the verdict if it takes 10 %
or more and leads the next by five points; two that are nearer make the verdict mixed. If none takes 10 %, compute is
the verdict, with its bound. So the good case has a name too, and is never called strong. Conditions without a share are
`states`.
"""

from __future__ import annotations

import msgspec

from engine.verdict.bars import build_bars
from engine.verdict.clock_losses import find_clock_losses, get_weights
from engine.verdict.compute_bound import find_compute_bound
from engine.verdict.facts import Facts, from_json, to_json
from engine.verdict.formatting import format_share
from engine.verdict.losses import find_data_gaps, find_losses
from engine.verdict.proposals import propose_remedies
from engine.verdict.results import Finding, StateFinding, Verdict
from engine.verdict.rules import RULES, RULES_VERSION, STATES
from engine.verdict.shares import compute_shares
from engine.verdict.states import find_states
from engine.verdict.thresholds import LEAD, NOTABLE, SURE_COVERAGE, SURE_STEPS

__all__ = ["RULES", "RULES_VERSION", "Facts", "Verdict", "from_json", "judge", "to_json"]


def judge(facts: Facts) -> Verdict:
    """A pure function: the same facts and rules always give the same verdict."""
    states = find_states(facts)
    if facts.nothing or not facts.num_steps or not facts.ranks:
        reason = facts.nothing or "No step has been measured yet."
        return Verdict(RULES_VERSION, nothing=reason, states=states)
    shares = compute_shares(facts)
    losses, compute_bound = find_losses(shares), find_compute_bound(shares)
    clock_losses = find_clock_losses(facts.clock)
    winners = _choose_winners(losses, compute_bound, clock_losses, facts)
    explained = shares.model.explained
    limits = {winner.limit for winner in winners}
    verdict = Verdict(
        RULES_VERSION,
        rules=tuple(winner.rule for winner in winners),
        limit=limits.pop() if len(limits) == 1 else "mixed",
        share=winners[0].share,
        severity=winners[0].severity,
        sentence=_build_sentence(winners),
        provisional=(*_find_provisional_reasons(facts, states), *find_data_gaps(shares)),
        step_s=shares.model.step_s,
        compute_s=shares.model.compute_s,
        explained_share=explained.share if explained else None,
        num_steps=facts.num_steps,
        first_step=facts.first_step,
        last_step=facts.last_step,
        findings=_sort_findings(losses, compute_bound, clock_losses),
        states=states,
        bars=build_bars(facts, shares, losses),
    )
    return msgspec.structs.replace(verdict, remedies=propose_remedies(verdict, shares))


def _choose_winners(
    losses: tuple[Finding, ...], compute_bound: Finding, clock_losses: tuple[Finding, ...], facts: Facts
) -> tuple[Finding, ...]:
    """A part of the clock competes with what the losses of a step take of the clock."""
    parts = [part for part in clock_losses if part.severity]
    named = [*parts, *(loss for loss in losses if loss.share >= NOTABLE)]
    if not named:
        return (compute_bound,)
    weights = get_weights(tuple(parts), losses, facts.clock)
    first, *rest = sorted((*parts, *losses), key=lambda one: -weights[one.rule])
    near = [one for one in rest if weights[first.rule] - weights[one.rule] < LEAD]
    return (first, near[0]) if near else (first,)


def _sort_findings(
    losses: tuple[Finding, ...], compute_bound: Finding, clock_losses: tuple[Finding, ...]
) -> tuple[Finding, ...]:
    named = tuple(part for part in clock_losses if part.severity)
    return (*named, *losses, compute_bound, *(part for part in clock_losses if not part.severity))


def _build_sentence(winners: tuple[Finding, ...]) -> str:
    if len(winners) == 1:
        return winners[0].sentence
    first, second = winners
    other = f" of {second.base}"
    return (
        f"No single limit: {first.title.lower()} takes {format_share(first.share)} of {first.base} and "
        f"{second.title.lower()} {format_share(second.share)}{'' if first.base == second.base else other}."
    )


def _find_provisional_reasons(facts: Facts, states: tuple[StateFinding, ...]) -> tuple[str, ...]:
    reasons = []
    if facts.num_steps < SURE_STEPS:
        reasons.append(f"{facts.num_steps} steady steps so far; a sure verdict needs {SURE_STEPS}.")
    if facts.coverage < SURE_COVERAGE:
        reasons.append(
            f"{format_share(facts.coverage)} of the steps in the window are recorded completely; "
            f"a sure verdict needs {format_share(SURE_COVERAGE)}."
        )
    provisional = {rule.id for rule in STATES if rule.makes_provisional}
    reasons += [state.sentence for state in states if state.rule in provisional]
    return tuple(reasons)
