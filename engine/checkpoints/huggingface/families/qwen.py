"""Qwen 2, 2.5 and 3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.checkpoints.huggingface.families.common import (
    LLAMA_BLOCK,
    LLAMA_NAMES,
    QK_NORMS,
    ROTARY_DECODER,
    decoder_fields,
)
from engine.checkpoints.huggingface.mapping.family import Family
from engine.checkpoints.huggingface.mapping.parts import activation, biases, rotary, windows


def _last_layers(config: Mapping[str, Any], layers: int) -> str:
    """The window is in the layers after the first max_window_layers."""
    first = config.get("max_window_layers", 28)
    first = first if isinstance(first, int) else layers
    return "".join("S" if layer >= first else "F" for layer in range(layers))


_PARTS = (
    activation("hidden_act", "silu", is_gated=True),
    rotary(),
    windows(4096, _last_layers, flag="use_sliding_window"),
)

QWEN2 = Family(
    "Qwen 2", "qwen2", "Qwen2ForCausalLM",
    fields=decoder_fields(epsilon=1e-6),
    fixed=ROTARY_DECODER | {"biases": True, "bias_in": "qkv"},
    names=lambda model: LLAMA_NAMES,
    parts=_PARTS,
    dropouts=("attention_dropout",),
)  # fmt: skip

QWEN3 = Family(
    "Qwen 3", "qwen3", "Qwen3ForCausalLM",
    fields=decoder_fields(epsilon=1e-6, head_dim=128),
    fixed=ROTARY_DECODER | {"qk_norm": "head"},
    names=lambda model: LLAMA_NAMES | {"decoder_block": LLAMA_BLOCK | QK_NORMS},
    parts=(*_PARTS, biases(attention="attention_bias")),
    dropouts=("attention_dropout",),
)  # fmt: skip
