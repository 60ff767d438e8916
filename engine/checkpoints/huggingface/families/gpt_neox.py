"""GPT-NeoX and Pythia."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.checkpoints.huggingface.families.common import SIZES
from engine.checkpoints.huggingface.mapping.family import ConfigField, Family
from engine.checkpoints.huggingface.mapping.parts import activation, rotary
from engine.checkpoints.huggingface.mapping.transforms import INTERLEAVED
from engine.spec.model import Model

_BLOCK = "gpt_neox.layers.{}."
_NAMES = {
    "embed": {"token": "gpt_neox.embed_in"},
    "decoder_block": {
        "attention_norm": _BLOCK + "input_layernorm",
        "attention.query_key_value": _BLOCK + "attention.query_key_value",
        "attention.output": _BLOCK + "attention.dense",
        "feed_forward_norm": _BLOCK + "post_attention_layernorm",
        "feed_forward.up": _BLOCK + "mlp.dense_h_to_4h",
        "feed_forward.down": _BLOCK + "mlp.dense_4h_to_h",
    },
    "norm": {"norm": "gpt_neox.final_layer_norm"},
    "head": {"": "embed_out"},
}


def _read_biases(config: Mapping[str, Any]) -> dict[str, Any]:
    has_all = ConfigField("attention_bias", "attention_bias", True, bool).read(config)
    return {"biases": True, "bias_in": "all" if has_all else "feed_forward"}


def _write_biases(model: Model) -> dict[str, Any]:
    return {"attention_bias": model.has_output_bias}


GPT_NEOX = Family(
    "GPT-NeoX", "gpt_neox", "GPTNeoXForCausalLM",
    fields=(
        *SIZES,
        ConfigField("norm_epsilon", "layer_norm_eps", 1e-5, float),
        ConfigField("tied_embeddings", "tie_word_embeddings", False, bool),
        ConfigField("parallel_residual", "use_parallel_residual", True, bool),
    ),
    fixed={"family": "decoder", "positions": "rotary", "norm": "layernorm"},
    names=lambda model: _NAMES,
    parts=(
        activation("hidden_act", "gelu", is_gated=False), (_read_biases, _write_biases),
        rotary(base_name="rotary_emb_base", share=0.25, share_name="rotary_pct"),
    ),
    dropouts=("attention_dropout", "hidden_dropout"),
    transforms={"attention.query_key_value": INTERLEAVED},
    prefix="gpt_neox.",
    renamed=(("embed_out", "lm_head"),),
)  # fmt: skip
