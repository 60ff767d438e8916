"""Predicted effect of a spec change, from a run's own measured phases.

The time per token is compared, since a change may alter the tokens of a step. Each phase is scaled by the ratio of the
planner's predictions for the two specs.
"""

from __future__ import annotations

from typing import NamedTuple

from engine.model_math import counts
from engine.planner import OWN, EngineTraits
from engine.spec.spec import Spec, parse
from engine.verdict.facts import Facts
from engine.verdict.rules import LOSSES
from engine.verdict.shares import Shares, compute_shares
from engine.verdict.spec_change import SpecChange, build_change

WELL_EXPLAINED = 0.7  # share of the step from which a prediction is given without "about"


class Gain(NamedTuple):
    """Saved share of the time per token (negative: lost); None: not predicted, and `message` gives the reason."""

    share: float | None
    message: str = ""
    explained_share: float | None = None  # of the step, by the planner's model


def predict_gain(facts: Facts, new: Spec) -> Gain:
    """Needs facts with at least one step."""
    return predict_gain_of(compute_shares(facts), new)


def predict_gain_of(shares: Shares, new: Spec, trainer: EngineTraits = OWN) -> Gain:
    """The same for facts whose shares are known, and another trainer."""
    old = parse(shares.model.facts.spec)
    if new.precision.dtype != old.precision.dtype:
        return Gain(None, f"this run has not measured the speed of {new.precision.dtype} on these devices")
    if new.parallel.world_size != old.parallel.world_size:
        return Gain(None, "it takes another number of devices")
    try:
        change = build_change(shares.model, new, trainer)
    except ValueError as error:
        return Gain(None, str(error))
    before = shares.model.step_s / counts.tokens_per_step(old)
    after = _predict_step_s(shares, change) / counts.tokens_per_step(new)
    explained = change.explained.share
    return Gain(1 - after / before, "" if explained >= WELL_EXPLAINED else "about", explained)


def _predict_step_s(shares: Shares, change: SpecChange) -> float:
    losses = (rule.predict(shares.loss_s[rule.id], change) for rule in LOSSES if rule.id in shares.loss_s)
    update_s = 0.0 if shares.model.update_loss_s else change.new_optimiser_s
    return change.new_forward_backward_s + update_s + sum(losses) + shares.model.unaccounted_s
