"""Effect of a spec change on a run's measured phases."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from engine.model_math import counts, flops
from engine.spec.spec import Spec, parse
from engine.verdict.spec_edits import recomputes_activations
from engine.verdict.step_model import StepModel

# Fixed cost of a micro-batch to a stage on a CPU: DeepSpeed's schedule and the hand-over of tensors. From claims that
# were too high in seven bubbles of known size: 2.3 to 6.0 ms, median 3.9 (2026-11-27).
TURN_S = 4e-3


@dataclass(frozen=True)
class Load:
    """What one rank does in a step, derived from the spec."""

    sequences: float
    flops: float
    micro_batches: int
    updated_parameters: float
    payload_elements: float  # handed to collectives


@dataclass(frozen=True)
class SpecChange:
    """Ratios of the new load to the old one, and the phases that follow from them."""

    model: StepModel
    old: Spec
    new: Spec

    @cached_property
    def old_load(self) -> Load:
        return compute_load(self.old)

    @cached_property
    def new_load(self) -> Load:
        return compute_load(self.new)

    @property
    def sequences_ratio(self) -> float:
        return self.new_load.sequences / self.old_load.sequences

    @property
    def flops_ratio(self) -> float:
        return self.new_load.flops / self.old_load.flops

    @property
    def micro_batches_ratio(self) -> float:
        return self.new_load.micro_batches / self.old_load.micro_batches

    @property
    def payload_ratio(self) -> float:
        old = self.old_load.payload_elements
        return self.new_load.payload_elements / old if old else 1.0

    @property
    def new_optimiser_s(self) -> float:
        ratio = self.new_load.updated_parameters / self.old_load.updated_parameters
        return self.model.get_mean("optimiser_s") * ratio

    @property
    def new_host_s(self) -> float:
        return self.model.host_s * self.micro_batches_ratio

    @cached_property
    def new_forward_backward_s(self) -> float:
        """Forward and backward after the change: FLOPs, recomputation, and the fixed cost of a pipeline's turns."""
        forward, backward = self.model.get_mean("forward_s"), self.model.get_mean("backward_s")
        if recomputes_activations(self.old) and not recomputes_activations(self.new):
            backward = max(backward - forward, backward / 3)
        elif recomputes_activations(self.new) and not recomputes_activations(self.old):
            backward += forward
        has_turns = self.model.facts.on_cpu and self.old.parallel.stages > 1
        old_turns, new_turns = self.old_load.micro_batches, self.new_load.micro_batches
        turn_s = min(TURN_S if has_turns else 0.0, (forward + backward) / old_turns / 2)
        seconds = (forward + backward - turn_s * old_turns) * self.flops_ratio
        return seconds + turn_s * new_turns if self.new.parallel.stages > 1 else seconds


def build_change(model: StepModel, new: Spec) -> SpecChange:
    return SpecChange(model, parse(model.facts.spec), new)


def compute_load(spec: Spec) -> Load:
    parallel = spec.parallel
    sequences = spec.batch.global_batch_size / parallel.data
    parameters = counts.parameters(spec) / (parallel.stages * parallel.tensor)
    n, m = parallel.data, spec.accumulation
    # Elements per step and rank (ZeRO paper, section 7; telemetry of DeepSpeed's reductions): stages 0 and 1 all-reduce
    # once, 2 reduces every micro-batch and gathers once, 3 gathers twice and reduces once every micro-batch.
    passes_of_zero = {0: 2.0, 1: 2.0, 2: m + 1.0, 3: 3.0 * m}[parallel.zero_stage]
    payload = parameters * passes_of_zero * (n - 1) / n
    rows = sequences * spec.model.context * spec.model.width
    if parallel.stages > 1:
        payload += 2 * rows
    if parallel.tensor > 1:
        # Four all-reduces of a micro-batch's rows per layer, two forward and two backward; two more with recomputation.
        t, passes = parallel.tensor, 6 if recomputes_activations(spec) else 4
        payload += passes * rows * spec.model.layers / parallel.stages * 2 * (t - 1) / t
    return Load(
        sequences=sequences,
        flops=sequences * flops.per_token(spec) / (parallel.stages * parallel.tensor),
        micro_batches=m,
        updated_parameters=parameters / (n if parallel.zero_stage >= 1 else 1),
        payload_elements=payload,
    )
