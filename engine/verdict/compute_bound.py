"""Bound on the model's own arithmetic: clocks, memory, kernels, or none."""

from __future__ import annotations

from engine.verdict.formatting import format_share
from engine.verdict.results import Evidence, Finding
from engine.verdict.rules import COMPUTE_BOUNDS
from engine.verdict.shares import Shares


def find_compute_bound(shares: Shares) -> Finding:
    """The finding of the first rule that applies; the last rule always does."""
    facts, model = shares.model.facts, shares.model
    rule, claim = next(
        (rule, claim)
        for rule in COMPUTE_BOUNDS
        if (claim := rule.detect(facts, shares.compute_share)) is not None
    )
    share = claim.share
    sentence = rule.sentence.format(share=format_share(share), hint=claim.hint)
    evidence = (
        Evidence(rule.title, share, "share", "derived", "the rest after all losses", rule.formula),
        *rule.get_evidence(facts),
    )
    return Finding(
        rule.id, rule.limit, rule.title, share, share * model.step_s, claim.severity, sentence, evidence
    )
