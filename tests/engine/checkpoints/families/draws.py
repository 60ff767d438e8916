"""Random small configurations of every supported family, made with the real configuration classes."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import transformers

VOCABULARY, CONTEXT = 256, 24
Draw = Callable[[random.Random], dict[str, Any]]


def _sizes(rng: random.Random, head_dim: bool = False) -> dict[str, Any]:
    """Sizes by the names of most families; `head_dim`: the heads need not fill the width."""
    heads, size = rng.choice((2, 4)), rng.choice((8, 12, 16))
    found = {
        "hidden_size": heads * rng.choice((6, 8, 10)) if head_dim else heads * size,
        "num_attention_heads": heads,
        "num_hidden_layers": rng.choice((2, 3)),
        "intermediate_size": rng.choice((24, 40)),
        "max_position_embeddings": CONTEXT,
        "vocab_size": VOCABULARY,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    return found | ({"head_dim": size} if head_dim else {})


def _grouped(rng: random.Random, sizes: dict[str, Any]) -> dict[str, Any]:
    return sizes | {"num_key_value_heads": sizes["num_attention_heads"] // rng.choice((1, 2))}


def _rope(rng: random.Random) -> dict[str, Any]:
    base = rng.choice((10_000.0, 500_000.0, 1_000_000.0))
    factor = rng.choice((2.0, 4.0, 8.0))
    scaling: dict[str, dict[str, Any]] = {
        "default": {},
        "linear": {"factor": factor},
        "dynamic": {"factor": factor},
        "llama3": {
            "factor": factor, "low_freq_factor": 1.0, "high_freq_factor": rng.choice((2.0, 4.0)),
            "original_max_position_embeddings": rng.choice((8, 64, 512)),
        },
        "yarn": {
            "factor": factor, "original_max_position_embeddings": rng.choice((8, 64, 512)),
            **rng.choice(({}, {"beta_fast": 16.0, "beta_slow": 2.0}, {"attention_factor": 1.25})),
        },
    }  # fmt: skip
    kind = rng.choice(list(scaling))
    found = {"rope_parameters": {"rope_type": kind, "rope_theta": base} | scaling[kind]}
    # The test's rows are longer than this, so dynamic scaling has an effect.
    return found | ({"max_position_embeddings": 10} if kind == "dynamic" else {})


def _modern(rng: random.Random, head_dim: bool = False) -> dict[str, Any]:
    return _grouped(rng, _sizes(rng, head_dim)) | _rope(rng) | {
        "rms_norm_eps": rng.choice((1e-5, 1e-6)), "tie_word_embeddings": rng.random() < 0.5,
    }  # fmt: skip


def _llama(rng: random.Random) -> dict[str, Any]:
    has_bias = rng.random() < 0.3
    return _modern(rng, head_dim=True) | {
        "attention_bias": has_bias or rng.random() < 0.3, "mlp_bias": has_bias,
        "hidden_act": rng.choice(("silu", "gelu", "gelu_pytorch_tanh", "relu")),
    }  # fmt: skip


def _mistral(rng: random.Random) -> dict[str, Any]:
    return _modern(rng, head_dim=True) | {"sliding_window": rng.choice((None, 4, 7, 30))}


def _qwen2(rng: random.Random) -> dict[str, Any]:
    found = _modern(rng) | {"use_sliding_window": rng.random() < 0.6, "sliding_window": rng.choice((3, 8))}
    return found | {"max_window_layers": rng.choice((0, 1))}


def _qwen3(rng: random.Random) -> dict[str, Any]:
    head = {"head_dim": rng.choice((8, 12, 16)), "attention_bias": rng.random() < 0.4}
    return _qwen2(rng) | head


def _olmo2(rng: random.Random) -> dict[str, Any]:
    return _modern(rng) | {"attention_bias": rng.random() < 0.4}


def _gemma(rng: random.Random) -> dict[str, Any]:
    return _modern(rng, head_dim=True) | {"tie_word_embeddings": True, "pad_token_id": 0}


def _gemma2(rng: random.Random) -> dict[str, Any]:
    return _gemma(rng) | {
        "sliding_window": rng.choice((4, 9)), "query_pre_attn_scalar": rng.choice((5, 16, 24)),
        "attn_logit_softcapping": rng.choice((None, 0.5, 50.0)),
        "final_logit_softcapping": rng.choice((None, 1.5, 30.0)),
    }  # fmt: skip


def _gemma3(rng: random.Random) -> dict[str, Any]:
    found = _gemma2(rng) | {"attn_logit_softcapping": None, "num_hidden_layers": rng.choice((3, 7))}
    scaling = rng.choice(({"rope_type": "default"}, {"rope_type": "linear", "factor": 4.0}))
    local = {"rope_type": "default", "rope_theta": 10_000.0}
    found["max_position_embeddings"] = CONTEXT
    return found | {
        "rope_parameters": {"full_attention": {"rope_theta": 1e6} | scaling, "sliding_attention": local}
    }


def _phi3(rng: random.Random) -> dict[str, Any]:
    rope = {
        "rope_type": "default",
        "rope_theta": 10_000.0,
        "partial_rotary_factor": rng.choice((1.0, 0.75, 0.5)),
    }
    return _modern(rng) | {
        "sliding_window": rng.choice((None, 5)), "pad_token_id": 0, "rope_parameters": rope,
        "max_position_embeddings": CONTEXT, "original_max_position_embeddings": CONTEXT,
    }  # fmt: skip


def _gpt_neox(rng: random.Random) -> dict[str, Any]:
    return _sizes(rng) | _rope_share(rng) | {
        "use_parallel_residual": rng.random() < 0.5, "attention_bias": rng.random() < 0.7,
        "hidden_act": rng.choice(("gelu", "gelu_new")), "tie_word_embeddings": rng.random() < 0.5,
        "layer_norm_eps": rng.choice((1e-5, 1e-12)),
    }  # fmt: skip


def _rope_share(rng: random.Random) -> dict[str, Any]:
    found = _rope(rng)
    found["rope_parameters"]["partial_rotary_factor"] = rng.choice((0.5, 1.0))
    return found


def _gpt2(rng: random.Random) -> dict[str, Any]:
    sizes = _sizes(rng)
    return {
        "n_embd": sizes["hidden_size"], "n_head": sizes["num_attention_heads"], "n_layer": sizes["num_hidden_layers"],
        "n_inner": rng.choice((None, 40)), "n_positions": CONTEXT, "vocab_size": VOCABULARY, "bos_token_id": 0,
        "eos_token_id": 0, "activation_function": rng.choice(("gelu_new", "relu", "gelu")),
        "layer_norm_epsilon": rng.choice((1e-5, 1e-6)), "tie_word_embeddings": rng.random() < 0.5,
    }  # fmt: skip


def _opt(rng: random.Random) -> dict[str, Any]:
    sizes = _sizes(rng)
    return {name: value for name, value in sizes.items() if name != "intermediate_size"} | {
        "ffn_dim": 40, "word_embed_proj_dim": sizes["hidden_size"], "pad_token_id": 1,
        "enable_bias": rng.random() < 0.7, "activation_function": rng.choice(("relu", "gelu")),
        "tie_word_embeddings": rng.random() < 0.7,
    }  # fmt: skip


def _bert(rng: random.Random) -> dict[str, Any]:
    return _sizes(rng) | {
        "type_vocab_size": rng.choice((1, 2)), "layer_norm_eps": rng.choice((1e-12, 1e-5)), "pad_token_id": 0,
        "hidden_act": rng.choice(("gelu", "gelu_new", "relu")), "tie_word_embeddings": rng.random() < 0.7,
    }  # fmt: skip


def _roberta(rng: random.Random) -> dict[str, Any]:
    return _bert(rng) | {"pad_token_id": 1, "hidden_act": "gelu", "max_position_embeddings": CONTEXT + 2}


def _t5(rng: random.Random) -> dict[str, Any]:
    return {
        "d_model": rng.choice((24, 32)), "d_kv": rng.choice((8, 12)), "num_heads": rng.choice((2, 4)),
        "d_ff": 40, "num_layers": rng.choice((1, 2)), "num_decoder_layers": rng.choice((1, 2)),
        "relative_attention_num_buckets": rng.choice((8, 32)), "relative_attention_max_distance": rng.choice((20, 128)),
        "feed_forward_proj": rng.choice(("relu", "gated-gelu", "gated-silu")), "vocab_size": VOCABULARY,
        "tie_word_embeddings": True, "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0,
    }  # fmt: skip


# Model type -> configuration class, drawn fields
DRAWS: dict[str, tuple[type[Any], Draw]] = {
    "llama": (transformers.LlamaConfig, _llama),
    "mistral": (transformers.MistralConfig, _mistral),
    "qwen2": (transformers.Qwen2Config, _qwen2),
    "qwen3": (transformers.Qwen3Config, _qwen3),
    "olmo2": (transformers.Olmo2Config, _olmo2),
    "gemma": (transformers.GemmaConfig, _gemma),
    "gemma2": (transformers.Gemma2Config, _gemma2),
    "gemma3_text": (transformers.Gemma3TextConfig, _gemma3),
    "phi3": (transformers.Phi3Config, _phi3),
    "gpt_neox": (transformers.GPTNeoXConfig, _gpt_neox),
    "gpt2": (transformers.GPT2Config, _gpt2),
    "opt": (transformers.OPTConfig, _opt),
    "bert": (transformers.BertConfig, _bert),
    "roberta": (transformers.RobertaConfig, _roberta),
    "t5": (transformers.T5Config, _t5),
    "mt5": (transformers.MT5Config, _t5),
}
NO_DROPOUT = dict.fromkeys(
    (
        "attention_dropout", "hidden_dropout", "resid_pdrop", "embd_pdrop", "attn_pdrop", "dropout", "dropout_rate",
        "hidden_dropout_prob", "attention_probs_dropout_prob",
    ),
    0.0,
)  # fmt: skip


def draw_config(model_type: str, seed: int) -> Any:
    kind, draw = DRAWS[model_type]
    known = set(kind().to_dict())
    silent = {name: value for name, value in NO_DROPOUT.items() if name in known}
    # A text as seed: Python's hash of a tuple differs between processes.
    return kind(**draw(random.Random(f"{model_type} {seed}")), **silent)
