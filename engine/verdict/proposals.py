"""Remedies proposed for a verdict, with their predicted savings."""

from __future__ import annotations

from collections.abc import Iterator

from engine.spec.spec import Spec, SpecError, parse
from engine.telemetry.metrics import Status
from engine.verdict import spec_edits
from engine.verdict.facts import Facts
from engine.verdict.results import ProposedRemedy, Verdict
from engine.verdict.rule import ClockRule, Rule
from engine.verdict.rules import BY_ID
from engine.verdict.spec_edits import SpecChanges
from engine.verdict.whatif import Gain, predict_gain


def propose_remedies(verdict: Verdict, facts: Facts) -> tuple[ProposedRemedy, ...]:
    """Remedies for the winners, then for the states; each once."""
    try:
        spec = parse(facts.spec)
    except SpecError:
        return ()
    found: dict[str, ProposedRemedy] = {}
    for rule_id in (*verdict.rules, *(state.rule for state in verdict.states)):
        for remedy in _propose_for(BY_ID[rule_id], verdict, facts, spec):
            found.setdefault(remedy.id, remedy)
    return tuple(found.values())


def _propose_for(rule: Rule, verdict: Verdict, facts: Facts, spec: Spec) -> Iterator[ProposedRemedy]:
    for remedy in rule.remedies:
        changes = remedy.spec_edit(spec) if remedy.spec_edit else {}
        if changes is None or (remedy.needs_gpu and facts.on_cpu):
            continue
        if changes and not spec_edits.is_possible(facts.spec, changes):
            continue
        gain = _get_gain(rule, changes, verdict, facts)
        standing: Status = "derived" if gain.share is not None else "absent"
        yield ProposedRemedy(
            remedy.id, rule.id, remedy.title, remedy.sentence, changes, gain.share, standing, gain.message
        )


def _get_gain(rule: Rule, changes: SpecChanges, verdict: Verdict, facts: Facts) -> Gain:
    if changes and isinstance(rule, ClockRule):
        new = spec_edits.apply_changes(facts.spec, changes)
        return Gain(verdict.get_share(rule.id) * (1 - rule.predict(parse(facts.spec), new)))
    if changes:
        return predict_gain(facts, spec_edits.apply_changes(facts.spec, changes))
    if not rule.is_avoidable:
        return Gain(None, "no field of a spec describes it")
    share = verdict.get_share(rule.id)
    return Gain(share, "at most") if share else Gain(None, "it costs no share of the step by itself")
