"""GPT-2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.checkpoints.huggingface.mapping.family import ConfigField, Family, read_size
from engine.checkpoints.huggingface.mapping.parts import activation
from engine.checkpoints.huggingface.mapping.transforms import TRANSPOSED
from engine.spec.model import Model

_NAMES = {
    "embed": {"token": "transformer.wte", "position": "transformer.wpe"},
    "decoder_block": {
        "attention_norm": "transformer.h.{}.ln_1", "attention.query_key_value": "transformer.h.{}.attn.c_attn",
        "attention.output": "transformer.h.{}.attn.c_proj", "feed_forward_norm": "transformer.h.{}.ln_2",
        "feed_forward.up": "transformer.h.{}.mlp.c_fc", "feed_forward.down": "transformer.h.{}.mlp.c_proj",
    },
    "norm": {"norm": "transformer.ln_f"},
    "head": {"": "lm_head"},
}  # fmt: skip


def _read_inner(config: Mapping[str, Any]) -> dict[str, Any]:
    inner = config.get("n_inner")
    return {"ffn_width": 4 * read_size(config, "n_embd") if inner is None else read_size(config, "n_inner")}


def _write_inner(model: Model) -> dict[str, Any]:
    return {"n_inner": model.ffn_width}


GPT2 = Family(
    "GPT-2", "gpt2", "GPT2LMHeadModel",
    fields=(
        ConfigField("layers", "n_layer"), ConfigField("width", "n_embd"), ConfigField("heads", "n_head"),
        ConfigField("context", "n_positions"),
        ConfigField("norm_epsilon", "layer_norm_epsilon", 1e-5, float),
        ConfigField("tied_embeddings", "tie_word_embeddings", True, bool),
    ),
    fixed={"family": "decoder", "positions": "learned", "norm": "layernorm", "biases": True},
    names=lambda model: _NAMES,
    parts=(activation("activation_function", "gelu_new", is_gated=False), (_read_inner, _write_inner)),
    allowed={
        "scale_attn_weights": (True,), "scale_attn_by_inverse_layer_idx": (False,), "add_cross_attention": (False,),
    },
    dropouts=("resid_pdrop", "embd_pdrop", "attn_pdrop"),
    transforms=dict.fromkeys(
        ("attention.query_key_value", "attention.output", "feed_forward.up", "feed_forward.down"), TRANSPOSED
    ),
    prefix="transformer.",
)  # fmt: skip
