"""Known model types that are not supported, each with the field and the reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_EXPERTS = "it has a mixture of experts, which is not supported"
_ALIBI = "it has ALiBi (a bias of attention scores that grows with the distance), which is not supported"
_IMAGES = "it reads images or sound, which are not supported; a folder of its text model alone may be"
_LATENT = "it has latent attention and a mixture of experts, which are not supported"
_RECURRENT = "it is recurrent (a state-space model), not a Transformer"

# Model type -> field of config.json, reason
REFUSED: dict[str, tuple[str, str]] = {
    "bloom": ("model_type", _ALIBI),
    "mpt": ("attn_config", _ALIBI),
    "falcon": ("alibi, parallel_attn", "attention and feed-forward read one norm, which is not supported"),
    "phi": ("model_type", "attention and feed-forward read one norm, and its head has a bias"),
    "gptj": ("model_type", "attention and feed-forward read one norm, and rotary pairs are adjacent features"),
    "gpt_neo": ("attention_types", "it has biases in some matrices of attention only, and unscaled scores"),
    "gpt_bigcode": ("multi_query", "its fused matrices have another order, which is not supported"),
    "codegen": ("model_type", "attention and feed-forward read one norm"),
    "mixtral": ("num_local_experts", _EXPERTS),
    "qwen2_moe": ("num_experts", _EXPERTS),
    "qwen3_moe": ("num_experts", _EXPERTS),
    "qwen3_next": ("num_experts", _EXPERTS),
    "olmoe": ("num_experts", _EXPERTS),
    "phimoe": ("num_local_experts", _EXPERTS),
    "dbrx": ("ffn_config", _EXPERTS),
    "jamba": ("num_experts", _EXPERTS),
    "gpt_oss": ("num_local_experts", _EXPERTS),
    "granitemoe": ("num_local_experts", _EXPERTS),
    "switch_transformers": ("num_experts", _EXPERTS),
    "deepseek_v2": ("kv_lora_rank", _LATENT),
    "deepseek_v3": ("kv_lora_rank", _LATENT),
    "kimi_k2": ("kv_lora_rank", _LATENT),
    "mamba": ("model_type", _RECURRENT),
    "mamba2": ("model_type", _RECURRENT),
    "rwkv": ("model_type", _RECURRENT),
    "falcon_mamba": ("model_type", _RECURRENT),
    "gemma3": ("vision_config", _IMAGES),
    "gemma3n": ("vision_config", _IMAGES),
    "llama4": ("vision_config", _IMAGES),
    "mllama": ("vision_config", _IMAGES),
    "llava": ("vision_config", _IMAGES),
    "qwen2_vl": ("vision_config", _IMAGES),
    "qwen2_5_vl": ("vision_config", _IMAGES),
    "mistral3": ("vision_config", _IMAGES),
    "whisper": ("model_type", _IMAGES),
    "smollm3": ("no_rope_layers", "some of its layers have no positions, which is not supported"),
    "olmo": ("model_type", "its norms have no weights, which is not supported"),
    "cohere": ("logit_scale, use_qk_norm", "its norms have no biases, and its residuals are parallel with one norm"),
    "stablelm": ("model_type", "its queries and keys have LayerNorms, or its residuals one norm"),
    "granite": ("residual_multiplier", "it scales its residuals, which is not supported"),
    "minicpm": ("scale_depth", "it scales its residuals, which is not supported"),
    "umt5": ("model_type", "every layer has relative positions of its own, which is not supported"),
    "bart": ("model_type", "it has norms after each sum in an encoder-decoder, and biases of logits"),
    "albert": ("num_hidden_groups", "its layers share weights, which is not supported"),
    "deberta": ("pos_att_type", "its attention has products with positions, which is not supported"),
    "deberta-v2": ("pos_att_type", "its attention has products with positions, which is not supported"),
    "electra": ("model_type", "it trains two models against each other, which is not supported"),
    "distilbert": ("model_type", "its names of weights are not known here"),
    "modernbert": ("model_type", "its encoder has sliding windows, which only decoders have here"),
    "xlnet": ("model_type", "it has segment recurrence, which is not supported"),
    "clip": ("model_type", _IMAGES),
}  # fmt: skip


def refusal(config: Mapping[str, Any]) -> str | None:
    """Return why a known model type is not supported."""
    found = REFUSED.get(str(config.get("model_type")))
    if found is None:
        return None
    field, reason = found
    return f"its model type is {config['model_type']!r} (field {field}): {reason}"
