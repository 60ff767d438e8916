"""Llama 1, 2, 3, SmolLM 2, TinyLlama and others of this architecture."""

from __future__ import annotations

from engine.checkpoints.huggingface.families.common import LLAMA_NAMES, ROTARY_DECODER, decoder_fields
from engine.checkpoints.huggingface.mapping.family import Family
from engine.checkpoints.huggingface.mapping.parts import activation, biases, rotary

LLAMA = Family(
    "Llama", "llama", "LlamaForCausalLM",
    fields=decoder_fields(epsilon=1e-6),
    fixed=ROTARY_DECODER,
    names=lambda model: LLAMA_NAMES,
    parts=(
        activation("hidden_act", "silu", is_gated=True),
        biases(attention="attention_bias", feed_forward="mlp_bias"),
        rotary(),
    ),
    allowed={"pretraining_tp": (1,)},
    dropouts=("attention_dropout",),
)  # fmt: skip
