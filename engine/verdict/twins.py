"""Which one change of a spec would test a verdict, and what that change should do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.spec.spec import Spec, SpecError, merged, nested, parse
from engine.verdict import spec_edits
from engine.verdict.facts import Facts
from engine.verdict.results import Verdict
from engine.verdict.rules import RULES
from engine.verdict.spec_edits import Knob
from engine.verdict.whatif import gain_of

TWIN_STEPS = 30
# A verdict holds within so much of what it claims: a change that should move less could never contradict it.
SEEN_FROM = 0.05

# Rule -> changes that move what it claims, the surest first; and why there is none.
TESTS: dict[str, tuple[Knob, ...]] = {
    "communication": (spec_edits.larger_batch, spec_edits.lower_zero, spec_edits.less_tensor),
    "bubble": (spec_edits.smaller_micro_batch, spec_edits.larger_batch, spec_edits.fewer_stages),
    "host": (spec_edits.larger_micro_batch,),
    "compute": (spec_edits.no_recompute, spec_edits.fewer_layers),
    "memory_bandwidth": (spec_edits.fewer_layers,),
    "kernels": (spec_edits.fewer_layers,),
    "capacity": (spec_edits.no_recompute,),
}
NO_TEST: dict[str, str] = {
    "input": "no field of a spec changes how fast batches come",
    "imbalance": "no field of a spec changes how fast one rank is",
    "power": "a power limit is set by an admin, not by a spec",
    "heat": "no field of a spec cools a device",
}


@dataclass(frozen=True)
class Twin:
    """The changed spec, short; and the share of the time a token that the change should save."""

    rule: str
    changes: Mapping[str, Any]
    spec: Spec
    baseline: Spec  # as the run was, equally short
    predicted_share: float


class NoTwin(ValueError):
    """Nothing can test this verdict; the message says why."""


def twin_of(verdict: Verdict, facts: Facts) -> Twin:
    """Raises NoTwin."""
    if not verdict.rules:
        raise NoTwin(f"There is no verdict to check: {verdict.nothing}")
    reasons = []
    for rule in verdict.rules:
        for knob in TESTS.get(rule, ()):
            found = _twin(rule, knob, facts)
            if found is not None and abs(found.predicted_share) >= SEEN_FROM:
                return found
        reasons.append(
            f"{RULES[rule].title}: {NO_TEST.get(rule, 'no change that this spec allows would move it enough')}."
        )
    raise NoTwin("This verdict cannot be checked by a twin. " + " ".join(reasons))


def _twin(rule: str, knob: Knob, facts: Facts) -> Twin | None:
    try:
        spec = parse(facts.spec)
        changes = knob(spec)
        if not changes:
            return None
        changed = spec_edits.changed(facts.spec, changes)
        gain = gain_of(facts, changed)
        if gain.share is None:
            return None
        return Twin(rule, changes, short(changed), short(spec), gain.share)
    except SpecError:
        return None


def short(spec: Spec) -> Spec:
    """The same work for 30 steps: nothing validated or saved on the way, no place taken from others."""
    values = spec.model_dump()
    budget = {"steps": TWIN_STEPS, "validate_every": 0, "checkpoint_every": 0}
    warmup = min(spec.optimiser.warmup_steps, TWIN_STEPS)
    changes: dict[str, Any] = {f"budget.{name}": value for name, value in budget.items()}
    changes |= {
        "optimiser.warmup_steps": warmup,
        "priority": "normal" if spec.priority == "high" else spec.priority,
    }
    return parse(merged(values, nested(changes)))
