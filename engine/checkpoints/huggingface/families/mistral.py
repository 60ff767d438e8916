"""Mistral 7B and Nemo."""

from __future__ import annotations

from engine.checkpoints.huggingface.families.common import LLAMA_NAMES, ROTARY_DECODER, decoder_fields
from engine.checkpoints.huggingface.mapping.family import Family
from engine.checkpoints.huggingface.mapping.parts import activation, rotary, windows

MISTRAL = Family(
    "Mistral", "mistral", "MistralForCausalLM",
    fields=decoder_fields(epsilon=1e-6),
    fixed=ROTARY_DECODER | {"biases": False},
    names=lambda model: LLAMA_NAMES,
    parts=(activation("hidden_act", "silu", is_gated=True), rotary(), windows(default=4096)),
    dropouts=("attention_dropout",),
)  # fmt: skip
