"""FLOPs of a model, exact to the last one for every family; one multiply-add is 2.

A matrix runs once forward and twice backward. Three conventions are in use, and all three are kept: model FLOPs count
causal attention's scores by the half that is needed, and nothing that is recomputed (Megatron-LM); PaLM's appendix B
counts the scores in full; what the hardware does includes what is recomputed. Checked against torch's FlopCounterMode.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.model_math import counts
from engine.model_math.counts import LayerKind
from engine.spec.spec import Spec

BACKWARD = 2  # times the forward pass


@dataclass(frozen=True, slots=True)
class Forward:
    """One layer's forward FLOPs over one sequence. `again` is the part that selective recomputation repeats."""

    matrices: float = 0.0
    scores: float = 0.0  # attention in full
    needed_scores: float = 0.0  # what a causal mask leaves of it
    again: float = 0.0

    @property
    def model(self) -> float:
        return self.matrices + self.needed_scores


def forward_of(spec: Spec, kind: LayerKind) -> Forward:
    model = spec.model
    h, s = model.width, model.context
    keys = model.num_kv_heads * (h // model.heads)
    attention = 2.0 * s * (2 * h * h + 2 * h * keys)
    scores = 4.0 * s * s * h
    causal = scores * (s + 1) / (2 * s)
    feed_forward = 2.0 * s * (3 if model.feed_forward == "swiglu" else 2) * h * model.ffn_width
    return {
        "decoder_block": Forward(attention + feed_forward, scores, causal, attention + causal),
        "encoder_block": Forward(attention + feed_forward, scores, scores, attention + scores),
        "cross_block": Forward(
            2 * attention + feed_forward, 2 * scores, causal + scores, 2 * attention + causal + scores
        ),
        "head": Forward(2.0 * s * h * spec.vocab_size),
        "class_head": Forward(2.0 * h * model.classes),
    }.get(kind, Forward())


def layers(spec: Spec) -> list[Forward]:
    """Of each layer in build order."""
    kinds = counts.layer_kinds(spec)
    known = {kind: forward_of(spec, kind) for kind in set(kinds)}
    return [known[kind] for kind in kinds]


def model_per_step(spec: Spec) -> float:
    return spec.batch.global_batch_size * (1 + BACKWARD) * sum(layer.model for layer in layers(spec))


def palm_per_step(spec: Spec) -> float:
    each = sum(layer.matrices + layer.scores for layer in layers(spec))
    return spec.batch.global_batch_size * (1 + BACKWARD) * each


def hardware_per_step(spec: Spec) -> float:
    """Model FLOPs, and those of the forward pass that run once more in the backward pass."""
    kinds, known = counts.layer_kinds(spec), layers(spec)
    recompute = spec.parallel.activation_checkpointing
    again = {
        "none": 0.0,
        "selective": sum(layer.again for layer in known),
        "full": sum(layer.model for layer, kind in zip(known, kinds, strict=True) if kind.endswith("_block")),
    }[recompute]
    return model_per_step(spec) + spec.batch.global_batch_size * again


def per_token(spec: Spec) -> float:
    """Model FLOPs of forward and backward per token."""
    return model_per_step(spec) / counts.tokens_per_step(spec)
