"""Fields and names that several families share."""

from __future__ import annotations

from engine.checkpoints.huggingface.mapping.family import ConfigField

SIZES = (
    ConfigField("layers", "num_hidden_layers"),
    ConfigField("width", "hidden_size"),
    ConfigField("heads", "num_attention_heads"),
    ConfigField("ffn_width", "intermediate_size"),
    ConfigField("context", "max_position_embeddings"),
)


def decoder_fields(
    epsilon: float, tied: bool = False, head_dim: int | None = None
) -> tuple[ConfigField, ...]:
    """Fields of a decoder with RMSNorm; the arguments are the defaults of transformers."""
    return (
        *SIZES,
        ConfigField("kv_heads", "num_key_value_heads", is_optional=True),
        ConfigField("head_dim", "head_dim", head_dim, is_optional=True),
        ConfigField("norm_epsilon", "rms_norm_eps", epsilon, float),
        ConfigField("tied_embeddings", "tie_word_embeddings", tied, bool),
    )


ROTARY_DECODER = {"family": "decoder", "positions": "rotary", "norm": "rmsnorm"}

LLAMA_BLOCK = {
    "attention_norm": "model.layers.{}.input_layernorm",
    "attention.query_key_value": "model.layers.{0}.self_attn.q_proj+model.layers.{0}.self_attn.k_proj"
    "+model.layers.{0}.self_attn.v_proj",
    "attention.output": "model.layers.{}.self_attn.o_proj",
    "feed_forward_norm": "model.layers.{}.post_attention_layernorm",
    "feed_forward.gate": "model.layers.{}.mlp.gate_proj",
    "feed_forward.up": "model.layers.{}.mlp.up_proj",
    "feed_forward.down": "model.layers.{}.mlp.down_proj",
}
QK_NORMS = {
    "attention.query_norm": "model.layers.{}.self_attn.q_norm",
    "attention.key_norm": "model.layers.{}.self_attn.k_norm",
}
LLAMA_NAMES = {
    "embed": {"token": "model.embed_tokens"},
    "decoder_block": LLAMA_BLOCK,
    "norm": {"norm": "model.norm"},
    "head": {"": "lm_head"},
}
