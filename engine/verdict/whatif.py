"""How a change of the spec would move a run: its own measured phases, each scaled by what the change does to it.

Time a token is compared, since a change may alter the tokens of a step. Only what the specs' arithmetic tells is
scaled, and what a pipeline's turns cost; that kernels grow more efficient with larger micro-batches is not known here,
and not promised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from engine.model_math import counts, flops
from engine.spec.spec import Spec, parse
from engine.verdict.facts import Facts
from engine.verdict.shares import Shares, shares_of

# What a micro-batch costs a stage on a CPU whatever its size: DeepSpeed's schedule, and handing tensors on. From claims
# that were too high in seven bubbles of known size: 2.3 to 6.0 ms, median 3.9 (2026-11-27).
TURN_S = 4e-3


class Gain(NamedTuple):
    """Share of the time a token that would be saved (negative: lost); None: not predicted, and why."""

    share: float | None
    said: str = ""


@dataclass(frozen=True)
class _Load:
    """What one rank does in a step, by the spec."""

    sequences: float
    work: float  # FLOPs
    micro_batches: int
    update: float  # parameters that it updates
    payload: float  # elements that it hands to collectives


def gain_of(facts: Facts, new: Spec) -> Gain:
    """The change's gain, from facts with steps."""
    old = parse(facts.spec)
    if new.precision.dtype != old.precision.dtype:
        return Gain(
            None, f"how fast {new.precision.dtype} is on these devices has not been measured by this run"
        )
    if new.parallel.world_size != old.parallel.world_size:
        return Gain(None, "it takes another number of devices")
    shares = shares_of(facts)
    before = shares.step_s / counts.tokens_per_step(old)
    after = _step_s(facts, shares, old, new) / counts.tokens_per_step(new)
    return Gain(1 - after / before)


def _step_s(facts: Facts, shares: Shares, old: Spec, new: Spec) -> float:
    was, now = _load(old), _load(new)
    forward, backward, optimiser = (_mean(facts, name) for name in ("forward_s", "backward_s", "optimiser_s"))
    if _recomputes(old) and not _recomputes(new):
        backward = max(backward - forward, backward / 3)
    elif _recomputes(new) and not _recomputes(old):
        backward += forward
    seconds, work = shares.seconds, now.work / was.work
    fed, micro = now.sequences / was.sequences, now.micro_batches / was.micro_batches
    turn_s = min(_turn_s(facts, old), (forward + backward) / was.micro_batches / 2)
    computing = (forward + backward - turn_s * was.micro_batches) * work
    if new.parallel.stages > 1:
        computing += turn_s * now.micro_batches
    parts = {
        "work": computing,
        "optimiser": optimiser * now.update / was.update,
        "input": seconds["input"] * fed,
        "host": seconds["host"] * micro,
        "communication": seconds["communication"] * (now.payload / was.payload if was.payload else 1.0),
        "untold": shares.untold_s,
        "imbalance": seconds["imbalance"] * work,
    }
    stages = new.parallel.stages
    if old.parallel.stages > 1:
        busy, each = computing + parts["host"], stages - 1
        model = (_mean(facts, "forward_s") + _mean(facts, "backward_s") + seconds["host"]) / was.micro_batches
        measured = seconds.get("bubble", 0.0) / (model * (old.parallel.stages - 1)) if model > 0 else 1.0
        parts["bubble"] = measured * busy / now.micro_batches * each
        if stages == 1:
            parts["imbalance"] = 0.0
    return sum(parts.values())


def _turn_s(facts: Facts, spec: Spec) -> float:
    return TURN_S if facts.on_cpu and spec.parallel.stages > 1 else 0.0


def _load(spec: Spec) -> _Load:
    parallel = spec.parallel
    sequences = spec.batch.global_batch_size / parallel.data
    held = counts.parameters(spec) / (parallel.stages * parallel.tensor)
    n, m = parallel.data, spec.accumulation
    # Elements a step and rank (ZeRO paper, section 7; telemetry of DeepSpeed's reductions): stage 0 and 1 all-reduce
    # once, 2 reduces every micro-batch and gathers once, 3 gathers twice and reduces once every micro-batch.
    of_zero = {0: 2.0, 1: 2.0, 2: m + 1.0, 3: 3.0 * m}[parallel.zero_stage]
    payload = held * of_zero * (n - 1) / n
    rows = sequences * spec.model.context * spec.model.width
    if parallel.stages > 1:
        payload += 2 * rows
    if parallel.tensor > 1:
        # Four all-reduces of a micro-batch's rows a layer: two forward, two backward; two more where it is recomputed.
        t, passes = parallel.tensor, 6 if _recomputes(spec) else 4
        payload += passes * rows * spec.model.layers / parallel.stages * 2 * (t - 1) / t
    return _Load(
        sequences=sequences,
        work=sequences * flops.per_token(spec) / (parallel.stages * parallel.tensor),
        micro_batches=m,
        update=held / (n if parallel.zero_stage >= 1 else 1),
        payload=payload,
    )


def _mean(facts: Facts, phase: str) -> float:
    return float(
        np.mean([rank.phases[phase].mean() if phase in rank.phases else 0.0 for rank in facts.ranks])
    )


def _recomputes(spec: Spec) -> bool:
    return spec.parallel.activation_checkpointing != "none"
