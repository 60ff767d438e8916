"""Shares of a step: what each loss costs.

The resources are removed one after the other, so the shares never add up to more than the step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.verdict.facts import Facts
from engine.verdict.rules import LOSSES
from engine.verdict.step_model import StepModel


@dataclass(frozen=True)
class Shares:
    """Seconds of a step by id of the losses that apply; with compute they add up to the accounted part of the step."""

    model: StepModel
    loss_s: Mapping[str, float]

    @property
    def compute_share(self) -> float:
        return self.model.compute_s / self.model.step_s

    @property
    def unaccounted_share(self) -> float:
        return self.model.unaccounted_s / self.model.step_s


def compute_shares(facts: Facts) -> Shares:
    """Needs at least one step and one rank."""
    model = StepModel(facts)
    taken_s, loss_s = model.compute_s, {}
    for rule in LOSSES:
        seconds = rule.measure(model, taken_s)
        if seconds is not None:
            taken_s += seconds
            loss_s[rule.id] = max(0.0, seconds)
    return Shares(model, loss_s)
