"""Losses of a step as findings, with cost, severity and evidence."""

from __future__ import annotations

from engine.verdict.facts import NEEDED_PHASES
from engine.verdict.formatting import format_share
from engine.verdict.results import Evidence, Finding
from engine.verdict.rule import LossRule
from engine.verdict.rules import LOSSES
from engine.verdict.shares import Shares
from engine.verdict.thresholds import NOTABLE, STRONG, UNACCOUNTED, get_severity

THRESHOLD = f">= {format_share(NOTABLE)}; strong above {format_share(STRONG)}"


def find_losses(shares: Shares) -> tuple[Finding, ...]:
    """The greatest first. A rule that does not apply is left out."""
    has_gaps = bool(find_data_gaps(shares))
    found = [_build_finding(rule, shares, has_gaps) for rule in LOSSES if rule.id in shares.loss_s]
    return tuple(sorted(found, key=lambda finding: -finding.share))


def find_data_gaps(shares: Shares) -> tuple[str, ...]:
    """Reasons why no loss may be called strong: the unrecorded part could be the greater loss."""
    facts = shares.model.facts
    reasons = []
    if len(facts.ranks) < facts.world_size:
        reasons.append(f"Phases are recorded for {len(facts.ranks)} of {facts.world_size} ranks only.")
    missing = {name for rank in facts.ranks for name in NEEDED_PHASES if name not in rank.phases}
    if missing:
        reasons.append(f"Some ranks did not record {', '.join(sorted(missing))}.")
    if shares.unaccounted_share >= UNACCOUNTED:
        reasons.append(f"{format_share(shares.unaccounted_share)} of the step is in no phase.")
    return tuple(reasons)


def _build_finding(rule: LossRule, shares: Shares, has_gaps: bool) -> Finding:
    model, seconds = shares.model, shares.loss_s[rule.id]
    share = seconds / model.step_s
    severity = get_severity(share)
    is_uncertain = (
        has_gaps or rule.is_estimated(model) or (model.is_contended and rule.is_stretched_by_others)
    )
    if severity == "strong" and is_uncertain:
        severity = "notable"
    sentence = rule.sentence.format(share=format_share(share), **rule.describe(model))
    evidence = (
        Evidence(rule.title, share, "share", "derived", THRESHOLD, rule.formula),
        *rule.get_evidence(model, seconds),
    )
    return Finding(rule.id, rule.limit, rule.title, share, seconds, severity, sentence, evidence)
