"""Cost of memory: the saving of changes that only memory refuses."""

from __future__ import annotations

from engine import planner
from engine.spec.spec import SpecError, parse
from engine.verdict import spec_edits
from engine.verdict.facts import Facts
from engine.verdict.rules.capacity import SPEED_EDITS
from engine.verdict.whatif import predict_gain


def find_unlimited_gain(facts: Facts) -> float | None:
    """Share of the time per token, from the run's own phases. None if memory refuses none of the changes, or if the
    devices are unknown."""
    if facts.profile is None or not facts.num_steps:
        return None
    try:
        spec = parse(facts.spec)
    except SpecError:
        return None
    gains = []
    for edit in SPEED_EDITS:
        changes = edit(spec)
        if not changes or not spec_edits.is_possible(facts.spec, changes):
            continue
        other = spec_edits.apply_changes(facts.spec, changes)
        if planner.plan(other, facts.profile).fits() == "will not fit":
            gains.append(predict_gain(facts, other).share or 0.0)
    return max(gains, default=None)
