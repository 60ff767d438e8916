"""Effect of a spec change on a run's measured phases, by the planner's ratios."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from engine.model_math import counts, flops
from engine.planner import OWN, EngineTraits, StepCosts
from engine.spec.spec import Spec, parse
from engine.verdict.explained import Explained, predict_spec_costs
from engine.verdict.step_model import PASS_PHASES, StepModel

# Share of a forward pass that the backward pass computes again
_REPEATED = {"none": 0.0, "selective": 0.25, "full": 1.0}


@dataclass(frozen=True)
class SpecChange:
    """Each measured phase is scaled by the planner's ratio of it; what the planner does not explain, by its work."""

    model: StepModel
    old: Spec
    new: Spec
    explained: Explained
    after: StepCosts

    @property
    def sequences_ratio(self) -> float:
        return _count_sequences(self.new) / _count_sequences(self.old)

    @property
    def flops_ratio(self) -> float:
        """Arithmetic of a rank."""
        return _count_flops(self.new) / _count_flops(self.old)

    @property
    def micro_batches_ratio(self) -> float:
        return self.new.accumulation / self.old.accumulation

    @property
    def payload_ratio(self) -> float:
        before = self.explained.predicted.payload_s
        return self.after.payload_s / before if before else 1.0

    @property
    def new_transfer_s(self) -> float:
        """By payload and calls; what the planner does not explain of it is a slow link's."""
        seconds = self.model.transfer_s
        return self.explained.predict("communication_s", seconds, self.after, self.payload_ratio)

    @property
    def new_optimiser_s(self) -> float:
        seconds = self.model.get_mean("optimiser_s")
        if self.model.is_offloaded and self.new.parallel.offload_optimiser == "none":
            # All of it was the host's and its link's; nothing of it was measured on the device.
            return min(seconds, self.after.phases["optimiser_s"] * self.explained.slowdown)
        ratio = _count_updated(self.new) / _count_updated(self.old)
        return self.explained.predict("optimiser_s", seconds, self.after, ratio)

    @cached_property
    def new_forward_backward_s(self) -> float:
        """With the fixed cost of the micro-batches."""
        forward, backward = (self.model.get_mean(name) for name in PASS_PHASES)
        new_forward = self.explained.predict("forward_s", forward, self.after, self.flops_ratio)
        again, new_again = (_REPEATED[s.parallel.activation_checkpointing] for s in (self.old, self.new))
        if again == new_again:
            return new_forward + self.explained.predict("backward_s", backward, self.after, self.flops_ratio)
        # What is computed again takes as long as the forward pass did in this run.
        own = max(backward - again * forward, backward / 3)
        growth = new_forward / forward if forward > 0 else 1.0
        return new_forward + own * growth + new_again * new_forward

    @property
    def local_ratio(self) -> float:
        """Of the time in which a rank computes: pressures on the host and slow ranks stretch it."""
        before = self.model.get_mean(*PASS_PHASES, "optimiser_s")
        return (self.new_forward_backward_s + self.new_optimiser_s) / before if before > 0 else 1.0


def build_change(model: StepModel, new: Spec, trainer: EngineTraits = OWN) -> SpecChange:
    """`trainer`: that would run the new spec. Raises ValueError with the reason where the planner cannot predict one of
    the two."""
    if model.explained is None:
        raise ValueError("the planner does not know the speeds of these devices well enough")
    after = predict_spec_costs(new, model.explained.profile, trainer)
    return SpecChange(model, parse(model.facts.spec), new, model.explained, after)


def _count_sequences(spec: Spec) -> float:
    return spec.batch.global_batch_size / spec.parallel.data


def _count_flops(spec: Spec) -> float:
    parallel = spec.parallel
    return _count_sequences(spec) * flops.per_token(spec) / (parallel.stages * parallel.tensor)


def _count_updated(spec: Spec) -> float:
    parallel = spec.parallel
    parameters = counts.parameters(spec) / (parallel.stages * parallel.tensor)
    return parameters / (parallel.data if parallel.zero_stage >= 1 else 1)
