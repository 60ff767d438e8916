"""States of a run's devices and hosts beside its verdict."""

from __future__ import annotations

from engine.verdict.facts import Facts
from engine.verdict.results import StateFinding
from engine.verdict.rules import STATES


def find_states(facts: Facts) -> tuple[StateFinding, ...]:
    found = []
    for rule in STATES:
        observed = rule.detect(facts)
        if observed is not None:
            sentence = rule.sentence.format(text=observed.text)
            evidence = rule.get_evidence(facts)
            found.append(StateFinding(rule.id, rule.limit, rule.title, observed.severity, sentence, evidence))
    return tuple(found)
