"""Phi 3: query, key and value in one matrix, gate and up in another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.checkpoints.huggingface.families.common import (
    LLAMA_BLOCK,
    LLAMA_NAMES,
    ROTARY_DECODER,
    decoder_fields,
)
from engine.checkpoints.huggingface.mapping.family import ArchitectureError, Family
from engine.checkpoints.huggingface.mapping.parts import activation, rotary, windows

_BLOCK = {
    **{name: LLAMA_BLOCK[name] for name in ("attention_norm", "attention.output", "feed_forward_norm")},
    "attention.query_key_value": "model.layers.{}.self_attn.qkv_proj",
    "feed_forward.gate+feed_forward.up": "model.layers.{}.mlp.gate_up_proj",
    "feed_forward.down": LLAMA_BLOCK["feed_forward.down"],
}


def _refuse_scaling(config: Mapping[str, Any]) -> dict[str, Any]:
    """Phi 3 takes every scaling, also one called yarn, as LongRoPE with a factor for each feature."""
    for name in ("rope_scaling", "rope_parameters"):
        values = config.get(name) or {}
        kind = (values.get("rope_type") or values.get("type")) if isinstance(values, Mapping) else values
        if kind not in (None, "default"):
            raise ArchitectureError(
                f"its {name} has the type {kind!r}: a factor for each feature (LongRoPE) is not supported"
            )
    return {}


PHI3 = Family(
    "Phi 3", "phi3", "Phi3ForCausalLM",
    fields=decoder_fields(epsilon=1e-5),
    fixed=ROTARY_DECODER | {"biases": False},
    names=lambda model: LLAMA_NAMES | {"decoder_block": _BLOCK},
    parts=(
        activation("hidden_act", "silu", is_gated=True), (_refuse_scaling, lambda model: {}), rotary(),
        windows(default=None),
    ),
    constants={"pad_token_id": None},
    dropouts=("attention_dropout", "resid_pdrop", "embd_pdrop"),
)  # fmt: skip
