"""Activations of the fields of a model that the traced blocks do not have.

Bytes that autograd saves on a CPU (torch 2.13), measured field by field and checked on random models in
tests/engine/planner/test_block_fields.py. On CUDA an RMSNorm is one kernel that saves its input and a number a row.
"""

from __future__ import annotations

from engine.spec.spec import Spec

RMS_BYTES = {4: 8, 2: 10}  # value size -> bytes per feature of a composite RMSNorm and its result
STREAM_RMS_BYTES = 8


def extra_bytes(spec: Spec, value: int, sublayer: str, on_cuda: bool, whole: int) -> float:
    """Bytes per token of a sublayer beside those of the table. `whole`: ranks that share the residual stream."""
    model, tensor = spec.model, spec.parallel.tensor
    found = _second_norm(spec, value, on_cuda) / whole if model.norm_position == "sandwich" else 0.0
    if sublayer == "feed_forward":
        if model.feed_forward in ("relu", "reglu"):  # the result is all that the gradient needs
            found -= value * model.ffn_width / tensor
        if model.parallel_residual:  # no sum between the sublayers
            found -= value * model.width / whole
    elif sublayer != "cross_attention":
        is_rotary = model.positions == "rotary"
        # In fp32 the soft-cap keeps normed queries and keys before and after their rotation.
        keeps_both = bool(model.attention_softcap) and model.qk_norm != "none" and value == 4
        found += _query_key_norm(spec, value, on_cuda, is_rotary and not keeps_both) / tensor
        if is_rotary and model.rotary_share < 1 and not model.attention_softcap:  # queries are copied
            found += value * model.query_width / tensor
        if (
            is_rotary and model.attention_softcap and not keeps_both
        ):  # rotated queries and keys are saved once
            found -= 2 * value * (model.query_width + model.kv_width) / tensor
    return found


def score_bytes(spec: Spec, value: int) -> float | None:
    """Bytes for each score that self-attention keeps because of a field of the model; None: it keeps no scores.

    With a soft-cap those are the results of tanh and softmax (8 bytes in both formats), with relative positions the
    biases.
    """
    model = spec.model
    if model.attention_softcap:
        return 8 + (value + 1 if model.dropout else 0)
    return value if model.positions == "relative" else None


def _second_norm(spec: Spec, value: int, on_cuda: bool) -> float:
    width = spec.model.width
    if spec.model.norm == "layernorm":
        return value * width + 2 * value
    return (value if on_cuda else STREAM_RMS_BYTES) * width + 4


def _query_key_norm(spec: Spec, value: int, on_cuda: bool, is_replaced: bool) -> float:
    """`is_replaced`: rotation saves queries and keys in place of those that were normed."""
    model = spec.model
    if model.qk_norm == "none":
        return 0.0
    rows = 2 if model.qk_norm == "full" else model.heads + model.num_kv_heads
    each = value if on_cuda else RMS_BYTES[value]
    if is_replaced:
        each -= value
    return each * (model.query_width + model.kv_width) + 4 * rows
