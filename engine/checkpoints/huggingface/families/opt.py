"""OPT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.checkpoints.huggingface.mapping.family import ArchitectureError, ConfigField, Family
from engine.checkpoints.huggingface.mapping.parts import activation
from engine.checkpoints.huggingface.mapping.transforms import skipped_rows
from engine.spec.model import Model

_BLOCK = "model.decoder.layers.{0}."
_NAMES = {
    "embed": {"token": "model.decoder.embed_tokens", "position": "model.decoder.embed_positions"},
    "decoder_block": {
        "attention_norm": _BLOCK + "self_attn_layer_norm",
        "attention.query_key_value": "+".join(f"{_BLOCK}self_attn.{part}_proj" for part in "qkv"),
        "attention.output": _BLOCK + "self_attn.out_proj",
        "feed_forward_norm": _BLOCK + "final_layer_norm",
        "feed_forward.up": _BLOCK + "fc1",
        "feed_forward.down": _BLOCK + "fc2",
    },
    "norm": {"norm": "model.decoder.final_layer_norm"},
    "head": {"": "lm_head"},
}


def _read_projection(config: Mapping[str, Any]) -> dict[str, Any]:
    width = config.get("hidden_size")
    if (size := config.get("word_embed_proj_dim")) not in (None, width):
        raise ArchitectureError(f"its word_embed_proj_dim is {size!r}; the supported value is {width}")
    return {}


def _write_projection(model: Model) -> dict[str, Any]:
    return {"word_embed_proj_dim": model.width}


OPT = Family(
    "OPT", "opt", "OPTForCausalLM",
    fields=(
        ConfigField("layers", "num_hidden_layers"), ConfigField("width", "hidden_size"),
        ConfigField("heads", "num_attention_heads"), ConfigField("ffn_width", "ffn_dim"),
        ConfigField("context", "max_position_embeddings"), ConfigField("biases", "enable_bias", True, bool),
        ConfigField("tied_embeddings", "tie_word_embeddings", True, bool),
    ),
    fixed={"family": "decoder", "positions": "learned", "norm": "layernorm"},
    names=lambda model: _NAMES,
    parts=(activation("activation_function", "relu", is_gated=False), (_read_projection, _write_projection)),
    allowed={
        "do_layer_norm_before": (True,), "layer_norm_elementwise_affine": (True,),
        "_remove_final_layer_norm": (False,),
    },
    constants={"pad_token_id": None, "do_layer_norm_before": True},
    dropouts=("dropout", "attention_dropout"),
    transforms={"position": skipped_rows(2)},
    renamed=(("model.decoder.", "decoder."),),
)  # fmt: skip
