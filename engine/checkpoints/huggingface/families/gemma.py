"""Gemma 1, 2 and 3 (text)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from engine.checkpoints.huggingface.families.common import (
    LLAMA_BLOCK,
    LLAMA_NAMES,
    QK_NORMS,
    ROTARY_DECODER,
    decoder_fields,
)
from engine.checkpoints.huggingface.mapping.family import Family, Write, read_size
from engine.checkpoints.huggingface.mapping.parts import (
    Part,
    activation,
    biases,
    read_scaling,
    rotary,
    windows,
    write_scaling,
)
from engine.checkpoints.huggingface.mapping.transforms import MINUS_ONE
from engine.spec.model import Model

Config = Mapping[str, Any]

_SANDWICH = {
    "attention_post_norm": "model.layers.{}.post_attention_layernorm",
    "feed_forward_norm": "model.layers.{}.pre_feedforward_layernorm",
    "feed_forward_post_norm": "model.layers.{}.post_feedforward_layernorm",
}
_NORMS = (
    "attention_norm", "attention_post_norm", "feed_forward_norm", "feed_forward_post_norm", "norm",
    "attention.query_norm", "attention.key_norm",
)  # fmt: skip
_TRANSFORMS = dict.fromkeys(_NORMS, MINUS_ONE)
_NOTHING: Write = lambda model: {}  # noqa: E731

_SCALED_EMBEDDINGS: Part = (
    lambda config: {"embedding_scale": math.sqrt(read_size(config, "hidden_size"))},
    _NOTHING,
)


def _query_scale() -> Part:
    """Scores are divided by the root of a number that is not always the head size."""
    name = "query_pre_attn_scalar"

    def read(config: Config) -> dict[str, Any]:
        number = read_size({name: config.get(name, 256)}, name)
        own = config.get("head_dim") or 256
        return {"attention_scale": None if number == own else number**-0.5}

    def write(model: Model) -> dict[str, Any]:
        scale = model.attention_scale
        return {name: model.head_size if scale is None else max(1, round(scale**-2))}

    return read, write


def _softcaps(attention: float | None, logits: float | None) -> Part:
    """Soft-caps; the arguments are the defaults of transformers, where null is none."""
    rows = (
        ("attention_softcap", "attn_logit_softcapping", attention),
        ("logit_softcap", "final_logit_softcapping", logits),
    )

    def read(config: Config) -> dict[str, Any]:
        return {name: config.get(hf_name, default) or 0.0 for name, hf_name, default in rows}

    def write(model: Model) -> dict[str, Any]:
        return {hf_name: getattr(model, name) or None for name, hf_name, _ in rows}

    return read, write


def _rotary_of_two_kinds() -> Part:
    """Gemma 3 has a base of its own in layers with a window."""
    bases = {"full_attention": ("rope_theta", 1e6), "sliding_attention": ("rope_local_base_freq", 1e4)}

    def read(config: Config) -> dict[str, Any]:
        both = config.get("rope_parameters") or {}
        own = {
            kind: (both.get(kind) or {}) if isinstance(both, Mapping) else {}
            for kind in bases
        }  # fmt: skip
        found = {
            kind: own[kind].get("rope_theta") or config.get(name) or base
            for kind, (name, base) in bases.items()
        }
        scaling = (
            own["full_attention"]
            if "rope_type" in own["full_attention"]
            else config.get("rope_scaling") or {}
        )
        return {
            "rope_base": float(found["full_attention"]), "rope_local_base": float(found["sliding_attention"]),
        } | read_scaling(scaling, config)  # fmt: skip

    def write(model: Model) -> dict[str, Any]:
        return {
            "rope_theta": model.rope_base, "rope_scaling": write_scaling(model),
            "rope_local_base_freq": model.rope_local_base or model.rope_base,
        }  # fmt: skip

    return read, write


def _every(count: int) -> Any:
    """Full attention in every so many layers, a window in the others."""

    def pattern(config: Config, layers: int) -> str:
        given = config.get("sliding_window_pattern")
        every = given if isinstance(given, int) and given > 0 else count
        return "".join("S" if (layer + 1) % every else "F" for layer in range(layers))

    return pattern


def _gelu_is_tanh() -> Part:
    """Gemma 1 says gelu and means the approximation by tanh."""
    read, write = activation("hidden_act", "gelu_pytorch_tanh", is_gated=True)

    def read_act(config: Config) -> dict[str, Any]:
        name = config.get("hidden_activation") or config.get("hidden_act")
        return read({"hidden_act": "gelu_pytorch_tanh" if name == "gelu" else name})

    return read_act, write


_ALLOWED = {"use_bidirectional_attention": (False, None)}

GEMMA = Family(
    "Gemma", "gemma", "GemmaForCausalLM",
    fields=decoder_fields(epsilon=1e-6, tied=True, head_dim=256),
    fixed=ROTARY_DECODER,
    names=lambda model: LLAMA_NAMES,
    parts=(_gelu_is_tanh(), biases(attention="attention_bias"), rotary(), _SCALED_EMBEDDINGS),
    allowed=_ALLOWED,
    dropouts=("attention_dropout",),
    transforms=_TRANSFORMS,
)  # fmt: skip

GEMMA2 = Family(
    "Gemma 2", "gemma2", "Gemma2ForCausalLM",
    fields=decoder_fields(epsilon=1e-6, tied=True, head_dim=256),
    fixed=ROTARY_DECODER | {"norm_position": "sandwich"},
    names=lambda model: LLAMA_NAMES | {"decoder_block": LLAMA_BLOCK | _SANDWICH},
    parts=(
        activation("hidden_activation", "gelu_pytorch_tanh", is_gated=True), biases(attention="attention_bias"),
        rotary(), _SCALED_EMBEDDINGS, _query_scale(), _softcaps(50.0, 30.0), windows(4096, _every(2)),
    ),
    allowed=_ALLOWED,
    dropouts=("attention_dropout",),
    transforms=_TRANSFORMS,
)  # fmt: skip

GEMMA3 = Family(
    "Gemma 3", "gemma3_text", "Gemma3ForCausalLM",
    fields=decoder_fields(epsilon=1e-6, tied=True, head_dim=256),
    fixed=ROTARY_DECODER | {"norm_position": "sandwich", "qk_norm": "head"},
    names=lambda model: LLAMA_NAMES | {"decoder_block": LLAMA_BLOCK | _SANDWICH | QK_NORMS},
    parts=(
        activation("hidden_activation", "gelu_pytorch_tanh", is_gated=True), biases(attention="attention_bias"),
        _rotary_of_two_kinds(), _SCALED_EMBEDDINGS, _query_scale(), _softcaps(None, None),
        windows(4096, _every(6)),
    ),
    allowed=_ALLOWED,
    dropouts=("attention_dropout",),
    transforms=_TRANSFORMS,
)  # fmt: skip
