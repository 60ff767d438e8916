"""Exact FLOPs of a model of any family.

A multiply-add counts as 2. A matrix product runs once forward and twice backward. Three conventions are in use:

model FLOPs      causal attention scores count half, recomputation counts nothing (Megatron-LM)
PaLM FLOPs       attention scores count in full (PaLM, appendix B)
hardware FLOPs   model FLOPs and recomputation

Checked against torch's FlopCounterMode.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.model_math import counts
from engine.model_math.adapters import flops_saved
from engine.model_math.counts import LayerKind
from engine.spec.spec import Spec

BACKWARD = 2  # times the forward pass


@dataclass(frozen=True, slots=True)
class Forward:
    """Forward FLOPs of one layer over one sequence. `again` is the part that selective recomputation repeats."""

    matrices: float = 0.0
    scores: float = 0.0  # of attention, in full
    needed_scores: float = 0.0  # without those that a causal mask hides
    again: float = 0.0

    @property
    def model(self) -> float:
        return self.matrices + self.needed_scores


def forward_of(spec: Spec, kind: LayerKind) -> Forward:
    model = spec.model
    h, s = model.width, model.context
    attention = 4.0 * s * h * (model.query_width + model.kv_width)
    scores = 4.0 * s * s * model.query_width
    causal = scores * (s + 1) / (2 * s)
    feed_forward = 2.0 * s * (3 if model.is_gated else 2) * h * model.ffn_width
    windowed = scores * _visible_in_window(s, model.window or s) / (s * s)
    transform = 2.0 * s * h * h if model.head_transform else 0.0
    return {
        "decoder_block": Forward(attention + feed_forward, scores, causal, attention + causal),
        "window_block": Forward(attention + feed_forward, scores, windowed, attention + windowed),
        "encoder_block": Forward(attention + feed_forward, scores, scores, attention + scores),
        "cross_block": Forward(
            2 * attention + feed_forward, 2 * scores, causal + scores, 2 * attention + causal + scores
        ),
        "head": Forward(2.0 * s * h * spec.vocab_size + transform),
        "class_head": Forward(2.0 * h * model.classes),
    }.get(kind, Forward())


def _visible_in_window(length: int, window: int) -> float:
    """Pairs of a position and one of the last `window` positions up to itself."""
    size = min(length, window)
    return size * (size + 1) / 2 + (length - size) * size


def layers(spec: Spec) -> list[Forward]:
    """Forward FLOPs of each layer in build order."""
    kinds = counts.layer_kinds(spec)
    known = {kind: forward_of(spec, kind) for kind in set(kinds)}
    return [known[kind] for kind in kinds]


def model_per_step(spec: Spec) -> float:
    whole = spec.batch.global_batch_size * (1 + BACKWARD) * sum(layer.model for layer in layers(spec))
    return whole - flops_saved(spec)


def palm_per_step(spec: Spec) -> float:
    each = sum(layer.matrices + layer.scores for layer in layers(spec))
    return spec.batch.global_batch_size * (1 + BACKWARD) * each - flops_saved(spec)


def hardware_per_step(spec: Spec) -> float:
    """Model FLOPs plus the part of the forward pass that the backward pass recomputes."""
    kinds, known = counts.layer_kinds(spec), layers(spec)
    recompute = spec.parallel.activation_checkpointing
    again = {
        "none": 0.0,
        "selective": sum(layer.again for layer in known),
        "full": sum(layer.model for layer, kind in zip(known, kinds, strict=True) if kind.endswith("_block")),
    }[recompute]
    return model_per_step(spec) + spec.batch.global_batch_size * again


def per_token(spec: Spec) -> float:
    """Model FLOPs per token, forward and backward."""
    return model_per_step(spec) / counts.tokens_per_step(spec)
