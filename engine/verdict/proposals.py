"""Remedies proposed for a verdict, with their predicted savings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from engine import planner
from engine.spec.spec import Spec, SpecError, parse
from engine.telemetry.metrics import Status
from engine.verdict import spec_edits
from engine.verdict.facts import Facts
from engine.verdict.remedies import Remedy
from engine.verdict.results import ProposedRemedy, Verdict
from engine.verdict.rule import ClockRule, ComputeBoundRule, LossRule, Rule, StateRule
from engine.verdict.rules import BY_ID
from engine.verdict.shares import Shares
from engine.verdict.spec_edits import SpecChanges
from engine.verdict.whatif import Gain, predict_gain_of

NEAR_BEST = 0.03  # of the step: a smaller change within that of the best one is proposed instead of it
HARMFUL = -0.01  # a change that costs more is not proposed against lost time
NOTICEABLE = 0.01  # a change by hand that should save less is not proposed
NO_COST = "it costs no share of the step by itself"
NOT_KNOWN = "nothing that was measured tells how much of it goes away"


class _Choice(NamedTuple):
    changes: SpecChanges
    gain: Gain


def propose_remedies(verdict: Verdict, shares: Shares) -> tuple[ProposedRemedy, ...]:
    """Remedies for the winners, then for the states; each once."""
    facts = shares.model.facts
    try:
        spec = parse(facts.spec)
    except SpecError:
        return ()
    found: dict[str, ProposedRemedy] = {}
    for rule_id in (*verdict.rules, *(state.rule for state in verdict.states)):
        for remedy in _propose_for(BY_ID[rule_id], verdict, shares, spec):
            found.setdefault(remedy.id, remedy)
    return tuple(found.values())


def _propose_for(rule: Rule, verdict: Verdict, shares: Shares, spec: Spec) -> Iterator[ProposedRemedy]:
    facts = shares.model.facts
    for remedy in rule.remedies:
        if (remedy.needs_gpu and facts.on_cpu) or remedy.audience == "scripts":
            continue
        if remedy.trainer is not None:
            gain = predict_gain_of(shares, spec, remedy.trainer)
            if gain.share is not None and gain.share >= NOTICEABLE:
                yield _propose(rule, remedy, _Choice({}, gain))
            continue
        if remedy.spec_edit is None:
            gain = _get_removed(rule, remedy, verdict, shares)
            if gain.share is None or gain.share >= NOTICEABLE:
                yield _propose(rule, remedy, _Choice({}, gain))
            continue
        if isinstance(rule, ClockRule):
            choice = _choose_for_clock(rule, remedy, verdict, facts)
        else:
            choice = _choose(remedy, shares, spec)
        if choice is not None and not (_saves_time(rule) and _is_harmful(choice.gain)):
            yield _propose(rule, remedy, choice)


def _propose(rule: Rule, remedy: Remedy, choice: _Choice) -> ProposedRemedy:
    gain = choice.gain
    standing: Status = "derived" if gain.share is not None else "absent"
    return ProposedRemedy(
        remedy.id, rule.id, remedy.title, remedy.sentence, choice.changes, gain.share, standing, gain.message
    )


def _choose(remedy: Remedy, shares: Shares, spec: Spec) -> _Choice | None:
    """The best of the remedy's changes that are possible and fit, or the smallest that is nearly as good."""
    facts = shares.model.facts
    listed = (
        remedy.choices(spec) if remedy.choices else [remedy.spec_edit(spec) if remedy.spec_edit else None]
    )
    possible = [changes for changes in listed if changes and spec_edits.is_possible(facts.spec, changes)]
    fitting = [changes for changes in possible if _fits(changes, facts)]
    found = []
    for changes in fitting or possible[:1]:  # what fits nowhere is shown with the planner's label
        found.append(_Choice(changes, predict_gain_of(shares, spec_edits.apply_changes(facts.spec, changes))))
    if not found:
        return None
    best = max(choice.gain.share or 0.0 for choice in found)
    return next(choice for choice in found if (choice.gain.share or 0.0) >= best - NEAR_BEST)


def _choose_for_clock(rule: ClockRule, remedy: Remedy, verdict: Verdict, facts: Facts) -> _Choice | None:
    """The remedy's change, with what it saves of the wall clock."""
    spec = parse(facts.spec)
    changes = remedy.spec_edit(spec) if remedy.spec_edit else None
    if not changes or not spec_edits.is_possible(facts.spec, changes):
        return None
    left = rule.predict(spec, spec_edits.apply_changes(facts.spec, changes))
    return _Choice(changes, Gain(verdict.get_share(rule.id) * (1 - left)))


def _fits(changes: SpecChanges, facts: Facts) -> bool:
    """Unless the planner says that memory refuses it."""
    changed = spec_edits.apply_changes(facts.spec, changes)
    capacities = [device.capacity_bytes for device in facts.devices if device.capacity_bytes]
    plan = planner.plan(changed, facts.profile)
    return plan.fits(min(capacities, default=None)) != "will not fit"


def _saves_time(rule: Rule) -> bool:
    """Remedies of states and of the memory's capacity save memory."""
    return isinstance(rule, LossRule | ComputeBoundRule) and rule.limit != "memory"


def _is_harmful(gain: Gain) -> bool:
    return gain.share is not None and gain.share < HARMFUL


def _get_removed(rule: Rule, remedy: Remedy, verdict: Verdict, shares: Shares) -> Gain:
    """What a change by hand saves: the part of its rule's cost that goes away."""
    if isinstance(rule, StateRule):
        return Gain(None, NO_COST)
    if remedy.removes is None or not rule.is_avoidable:
        return Gain(None, NOT_KNOWN)
    part = remedy.removes if isinstance(remedy.removes, float) else remedy.removes(shares.model)
    share = verdict.get_share(rule.id) * part
    if isinstance(rule, LossRule):
        share = min(1.0, share * rule.removal_factor(shares.model))
    return Gain(share, "at most" if part == 1 else "about") if share else Gain(None, NO_COST)
