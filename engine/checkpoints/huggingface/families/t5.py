"""T5, T5 1.1 and mT5."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from engine.checkpoints.huggingface.mapping.family import (
    ArchitectureError,
    ConfigField,
    Family,
    Names,
    read_size,
)
from engine.checkpoints.huggingface.mapping.parts import ACTIVATIONS, GATES
from engine.spec.model import Model

DEFAULT_CONTEXT = 512  # of the published models; relative positions have no limit of their own


def _block(stack: str, feed_forward: int, model: Model) -> dict[str, str]:
    layer = f"{stack}.block.{{0}}.layer."
    own, last = f"{layer}0.", f"{layer}{feed_forward}."
    ups = (
        {"feed_forward.gate": "wi_0", "feed_forward.up": "wi_1"}
        if model.is_gated
        else {"feed_forward.up": "wi"}
    )
    return {
        "attention_norm": own + "layer_norm",
        "attention.query_key_value": "+".join(f"{own}SelfAttention.{part}" for part in "qkv"),
        "attention.output": own + "SelfAttention.o",
        "feed_forward_norm": last + "layer_norm",
        **{name: f"{last}DenseReluDense.{theirs}" for name, theirs in ups.items()},
        "feed_forward.down": last + "DenseReluDense.wo",
    }


def _names(model: Model) -> Names:
    cross = "decoder.block.{0}.layer.1."
    bias = "block.0.layer.0.SelfAttention.relative_attention_bias"
    return {
        "embed": {"token": "shared", "encoder_bias": f"encoder.{bias}", "decoder_bias": f"decoder.{bias}"},
        "encoder_block": _block("encoder", 1, model),
        "cross_block": _block("decoder", 2, model) | {
            "cross_attention_norm": cross + "layer_norm",
            "cross_attention.query": cross + "EncDecAttention.q",
            "cross_attention.key_value": f"{cross}EncDecAttention.k+{cross}EncDecAttention.v",
            "cross_attention.output": cross + "EncDecAttention.o",
        },
        "source_norm": {"norm": "encoder.final_layer_norm"},
        "norm": {"norm": "decoder.final_layer_norm"},
        "head": {"": "lm_head"},
    }  # fmt: skip


def _read_activation(config: Mapping[str, Any]) -> dict[str, Any]:
    name = config.get("feed_forward_proj") or "relu"
    gated, _, plain = str(name).rpartition("-")
    plain = "gelu_new" if name == "gated-gelu" else plain  # as transformers reads it
    if gated not in ("", "gated") or plain not in ACTIVATIONS:
        raise ArchitectureError(
            f"its feed_forward_proj is {name!r}; the supported values are relu, gated-gelu and the like"
        )
    activation = ACTIVATIONS[plain]
    return {"feed_forward": GATES[activation] if gated else activation}


def _write_activation(model: Model) -> dict[str, Any]:
    known = {"geglu": "gated-gelu", "swiglu": "gated-silu", "reglu": "gated-relu", "gelu": "gelu_new"}
    return {"feed_forward_proj": known.get(model.feed_forward, model.feed_forward.replace("_exact", ""))}


def _read_layers(config: Mapping[str, Any]) -> dict[str, Any]:
    layers = read_size(config, "num_layers")
    decoder = layers if config.get("num_decoder_layers") is None else read_size(config, "num_decoder_layers")
    return {"layers": decoder, "encoder_layers": None if decoder == layers else layers}


def _write_layers(model: Model) -> dict[str, Any]:
    return {"num_layers": model.num_encoder_layers, "num_decoder_layers": model.layers}


def _read_tie(config: Mapping[str, Any]) -> dict[str, Any]:
    """Tied embeddings come with scaled logits."""
    tied = ConfigField("tied_embeddings", "tie_word_embeddings", True, bool).read(config)
    return {"tied_embeddings": tied, "logit_scale": read_size(config, "d_model") ** -0.5 if tied else 1.0}


def _read_unscaled_tie(config: Mapping[str, Any]) -> dict[str, Any]:
    return _read_tie(config) | {"logit_scale": 1.0}


def _write_tie(model: Model) -> dict[str, Any]:
    return {"tie_word_embeddings": model.tied_embeddings}


def _read_context(config: Mapping[str, Any]) -> dict[str, Any]:
    has_size = config.get("n_positions") is not None
    return {"context": read_size(config, "n_positions") if has_size else DEFAULT_CONTEXT}


def _write_context(model: Model) -> dict[str, Any]:
    return {"n_positions": model.context}


T5 = Family(
    "T5", "t5", "T5ForConditionalGeneration",
    fields=(
        ConfigField("width", "d_model"), ConfigField("heads", "num_heads"), ConfigField("head_dim", "d_kv", 64),
        ConfigField("ffn_width", "d_ff"), ConfigField("norm_epsilon", "layer_norm_epsilon", 1e-6, float),
        ConfigField("relative_buckets", "relative_attention_num_buckets", 32),
        ConfigField("relative_distance", "relative_attention_max_distance", 128),
    ),
    fixed={
        "family": "encoder-decoder", "positions": "relative", "norm": "rmsnorm", "biases": False,
        "attention_scale": 1.0,
    },
    names=_names,
    parts=(
        (_read_activation, _write_activation), (_read_layers, _write_layers), (_read_tie, _write_tie),
        (_read_context, _write_context),
    ),
    allowed={"is_encoder_decoder": (True,), "is_decoder": (False,)},
    constants={"is_encoder_decoder": True, "pad_token_id": 0},
    dropouts=("dropout_rate",),
    prefix="",
)  # fmt: skip

MT5 = replace(
    T5,
    title="mT5",
    model_type="mt5",
    class_name="MT5ForConditionalGeneration",
    parts=tuple(
        (_read_unscaled_tie, write) if read is _read_tie else (read, write) for read, write in T5.parts
    ),
)
