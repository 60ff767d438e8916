"""Activations of the fields of a model that the traced blocks do not have.

Bytes that autograd saves on a CPU (torch 2.13), measured field by field and checked on random models in
tests/engine/planner/test_block_fields.py. On CUDA an RMSNorm is one kernel that saves its input and a number a row.
"""

from __future__ import annotations

from engine.spec.spec import Spec

RMS_BYTES = {4: 8, 2: 10}  # value size -> bytes per feature of a composite RMSNorm and its result
STREAM_RMS_BYTES = 8
# Scores kept by torch's unfused attention, by value size: probabilities in fp32, and in the number format.
MATH_SCORES_BYTES = {4: 4, 2: 6}
# Value size, grouped heads, query/key norm -> copies of queries and of keys beside those of fused attention
RELATIVE_COPIES = {
    (4, False, False): (-1, -1), (4, False, True): (1, 1), (4, True, False): (1, 0), (4, True, True): (1, 1),
    (2, False, False): (-1, 0), (2, False, True): (-1, -2), (2, True, False): (0, 0), (2, True, True): (-1, -1),
}  # fmt: skip


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
        queries, keys = _saved_again(spec, value, keeps_both)
        found += value * (queries * model.query_width + keys * model.kv_width) / tensor
    return found


def score_bytes(spec: Spec, value: int) -> float | None:
    """Bytes for each score that self-attention keeps because of a field of the model; None: it keeps no scores.

    With a soft-cap those are the results of tanh and softmax (8 bytes in both formats). Biases of relative positions
    have gradients, so torch computes attention without its fused kernel.
    """
    model = spec.model
    if model.attention_softcap:
        return 8 + (value + 1 if model.dropout else 0)
    if model.positions == "relative":
        return MATH_SCORES_BYTES[value] + (value + 1 if model.dropout else 0)
    return None


def _saved_again(spec: Spec, value: int, keeps_both: bool) -> tuple[int, int]:
    """How often more than in the table queries and keys (with values) are saved where scores are kept."""
    model = spec.model
    is_grouped = model.num_kv_heads < model.heads
    if model.positions == "relative":
        return RELATIVE_COPIES[value, is_grouped, model.qk_norm != "none"]
    if not model.attention_softcap or keeps_both:
        return 0, 0
    if model.positions == "rotary" and is_grouped:
        return 0, -1
    if model.positions == "rotary" or (model.qk_norm != "none" and value == 2):
        return -2, -2
    return 0, 0


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
