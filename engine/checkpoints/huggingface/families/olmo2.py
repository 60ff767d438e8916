"""OLMo 2: norms after each sublayer, and of all queries and keys."""

from __future__ import annotations

from engine.checkpoints.huggingface.families.common import (
    LLAMA_BLOCK,
    LLAMA_NAMES,
    QK_NORMS,
    ROTARY_DECODER,
    decoder_fields,
)
from engine.checkpoints.huggingface.mapping.family import Family
from engine.checkpoints.huggingface.mapping.parts import activation, biases, rotary

_BLOCK = LLAMA_BLOCK | QK_NORMS | {
    "attention_norm": "model.layers.{}.post_attention_layernorm",
    "feed_forward_norm": "model.layers.{}.post_feedforward_layernorm",
}  # fmt: skip

OLMO2 = Family(
    "OLMo 2", "olmo2", "Olmo2ForCausalLM",
    fields=decoder_fields(epsilon=1e-5),
    fixed=ROTARY_DECODER | {"norm_position": "output", "qk_norm": "full"},
    names=lambda model: LLAMA_NAMES | {"decoder_block": _BLOCK},
    parts=(
        activation("hidden_act", "silu", is_gated=True), biases(attention="attention_bias"), rotary(),
    ),
    dropouts=("attention_dropout",),
)  # fmt: skip
