"""Predicted effect of a spec change, from a run's own measured phases.

The time per token is compared, since a change may alter the tokens of a step. Each phase is scaled by what follows from
the two specs; higher kernel efficiency with larger micro-batches is not known here and not promised.
"""

from __future__ import annotations

from typing import NamedTuple

from engine.model_math import counts
from engine.spec.spec import Spec, parse
from engine.verdict.facts import Facts
from engine.verdict.rules import LOSSES
from engine.verdict.shares import Shares, compute_shares
from engine.verdict.spec_change import SpecChange, build_change


class Gain(NamedTuple):
    """Saved share of the time per token (negative: lost); None: not predicted, and `message` gives the reason."""

    share: float | None
    message: str = ""


def predict_gain(facts: Facts, new: Spec) -> Gain:
    """Needs facts with at least one step."""
    old = parse(facts.spec)
    if new.precision.dtype != old.precision.dtype:
        return Gain(None, f"this run has not measured the speed of {new.precision.dtype} on these devices")
    if new.parallel.world_size != old.parallel.world_size:
        return Gain(None, "it takes another number of devices")
    shares = compute_shares(facts)
    before = shares.model.step_s / counts.tokens_per_step(old)
    after = _predict_step_s(shares, build_change(shares.model, new)) / counts.tokens_per_step(new)
    return Gain(1 - after / before)


def _predict_step_s(shares: Shares, change: SpecChange) -> float:
    losses = (rule.predict(shares.loss_s[rule.id], change) for rule in LOSSES if rule.id in shares.loss_s)
    computing = change.new_forward_backward_s + change.new_optimiser_s
    return computing + sum(losses) + shares.model.unaccounted_s
