"""Twins: the one spec change that tests a verdict, and its predicted saving."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.spec.spec import Spec, SpecError, merged, nested, parse
from engine.verdict import spec_edits
from engine.verdict.facts import Facts
from engine.verdict.results import Verdict
from engine.verdict.rules import BY_ID
from engine.verdict.spec_edits import SpecEdit
from engine.verdict.whatif import predict_gain

TWIN_STEPS = 30
# A verdict holds within 5 points of its claim: a change that should move less could never contradict it.
LEAST_EFFECT = 0.05
NO_EDIT = "no change that this spec allows would move it enough"


@dataclass(frozen=True)
class Twin:
    """The changed spec, shortened, and the share of the time per token that the change should save."""

    rule: str
    changes: Mapping[str, Any]
    spec: Spec
    baseline: Spec  # the run's own spec, equally shortened
    predicted_share: float


class NoTwin(ValueError):
    """No twin can test this verdict; the message gives the reason."""


def build_twin(verdict: Verdict, facts: Facts) -> Twin:
    """Raises NoTwin."""
    if not verdict.rules:
        raise NoTwin(f"There is no verdict to check: {verdict.nothing}")
    reasons = []
    for rule in (BY_ID[rule_id] for rule_id in verdict.rules):
        for edit in rule.twin_edits:
            twin = _try_edit(rule.id, edit, facts)
            if twin is not None and abs(twin.predicted_share) >= LEAST_EFFECT:
                return twin
        reasons.append(f"{rule.title}: {rule.no_twin_reason or NO_EDIT}.")
    raise NoTwin("This verdict cannot be checked by a twin. " + " ".join(reasons))


def _try_edit(rule_id: str, edit: SpecEdit, facts: Facts) -> Twin | None:
    try:
        spec = parse(facts.spec)
        changes = edit(spec)
        if not changes:
            return None
        changed = spec_edits.apply_changes(facts.spec, changes)
        gain = predict_gain(facts, changed)
        if gain.share is None:
            return None
        return Twin(rule_id, changes, shorten(changed), shorten(spec), gain.share)
    except SpecError:
        return None


def shorten(spec: Spec) -> Spec:
    """The same work for 30 steps, without validation or checkpoints, at normal priority at most."""
    values = spec.model_dump()
    budget = {"steps": TWIN_STEPS, "validate_every": 0, "checkpoint_every": 0}
    changes: dict[str, Any] = {f"budget.{name}": value for name, value in budget.items()}
    changes |= {
        "optimiser.warmup_steps": min(spec.num_warmup_steps, TWIN_STEPS),
        **({"optimiser.warmup_share": None} if spec.optimiser.warmup_share is not None else {}),
        "priority": "normal" if spec.priority == "high" else spec.priority,
    }
    return parse(merged(values, nested(changes)))
