"""Hugging Face architectures: matching models, config fields, names of weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.spec.parts import Model

EPSILON = 1e-5  # of every norm in the models here
ROTARY_BASE = 10_000.0
SIZE_FIELDS = (
    "n_layer", "n_embd", "n_head", "n_positions", "n_inner", "hidden_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "intermediate_size", "max_position_embeddings", "head_dim",
)  # fmt: skip
LARGEST_SIZE = 2**31 - 1
FLAGS = ("tie_word_embeddings", "attention_bias", "mlp_bias")


class ArchitectureError(ValueError):
    """A model or folder matches no supported architecture; the message gives the reason."""


@dataclass(frozen=True)
class WeightMapping:
    """A parameter and its tensors in a Hugging Face folder; several are concatenated (query, key, value of Llama)."""

    name: str
    hf_names: tuple[str, ...]
    is_transposed: bool = False  # GPT-2's Conv1D stores [in, out]


@dataclass(frozen=True)
class Architecture:
    """One supported Hugging Face architecture."""

    name: str
    model_type: str
    class_name: str
    required: Mapping[str, Any]  # values of spec.model that a matching model has, for any sizes
    config: Callable[[Model, int], dict[str, Any]]  # model, vocabulary size -> size fields of config.json
    model: Callable[[Mapping[str, Any]], dict[str, Any]]  # config.json -> fields of spec.model
    allowed_values: Mapping[str, Any]  # fields of config.json -> supported values, if the field is present
    mappings: Callable[[Model], Iterator[WeightMapping]]
    prefix: str  # left out of tensor names in a folder of the bare model


def _gpt2_config(model: Model, vocab: int) -> dict[str, Any]:
    return {
        "vocab_size": vocab, "n_positions": model.context, "n_embd": model.width, "n_layer": model.layers,
        "n_head": model.heads, "n_inner": model.ffn_width, "activation_function": "gelu_new",
        "layer_norm_epsilon": EPSILON, "resid_pdrop": model.dropout, "embd_pdrop": model.dropout,
        "attn_pdrop": model.dropout,
    }  # fmt: skip


def _gpt2_model(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "layers": config["n_layer"], "width": config["n_embd"], "heads": config["n_head"], "kv_heads": None,
        "ffn_width": config.get("n_inner") or 4 * config["n_embd"], "context": config["n_positions"],
        "tied_embeddings": config.get("tie_word_embeddings", True),
    }  # fmt: skip


def _gpt2_mappings(model: Model) -> Iterator[WeightMapping]:
    yield WeightMapping("0.token.weight", ("transformer.wte.weight",))
    yield WeightMapping("0.position.weight", ("transformer.wpe.weight",))
    matrices = {
        "attention.query_key_value": "attn.c_attn", "attention.output": "attn.c_proj",
        "feed_forward.up": "mlp.c_fc", "feed_forward.down": "mlp.c_proj",
    }  # fmt: skip
    for block in range(model.layers):
        prefix, hf_prefix = f"{block + 1}.", f"transformer.h.{block}."
        for leaf in ("weight", "bias"):
            yield WeightMapping(f"{prefix}attention_norm.{leaf}", (f"{hf_prefix}ln_1.{leaf}",))
            yield WeightMapping(f"{prefix}feed_forward_norm.{leaf}", (f"{hf_prefix}ln_2.{leaf}",))
            for name, hf_name in matrices.items():
                yield WeightMapping(
                    f"{prefix}{name}.{leaf}", (f"{hf_prefix}{hf_name}.{leaf}",), leaf == "weight"
                )
    for leaf in ("weight", "bias"):
        yield WeightMapping(f"{model.layers + 1}.norm.{leaf}", (f"transformer.ln_f.{leaf}",))
    if not model.tied_embeddings:
        yield WeightMapping(f"{model.layers + 2}.weight", ("lm_head.weight",))


def _llama_config(model: Model, vocab: int) -> dict[str, Any]:
    return {
        "vocab_size": vocab, "max_position_embeddings": model.context, "hidden_size": model.width,
        "num_hidden_layers": model.layers, "num_attention_heads": model.heads,
        "num_key_value_heads": model.num_kv_heads, "head_dim": model.width // model.heads,
        "intermediate_size": model.ffn_width, "hidden_act": "silu", "rms_norm_eps": EPSILON,
        "rope_theta": ROTARY_BASE, "attention_bias": model.biases, "mlp_bias": model.biases,
        "attention_dropout": model.dropout,
    }  # fmt: skip


def _llama_model(config: Mapping[str, Any]) -> dict[str, Any]:
    heads, width = config["num_attention_heads"], config["hidden_size"]
    if config.get("head_dim") not in (None, width // heads):
        raise ArchitectureError(f"its head_dim is {config['head_dim']}; it must be {width} / {heads}")
    if config.get("attention_bias", False) != config.get("mlp_bias", False):
        raise ArchitectureError("it has biases in only one of attention and feed-forward")
    keys = config.get("num_key_value_heads") or heads
    return {
        "layers": config["num_hidden_layers"], "width": width, "heads": heads,
        "kv_heads": None if keys == heads else keys, "ffn_width": config["intermediate_size"],
        "context": config["max_position_embeddings"], "biases": config.get("attention_bias", False),
        "tied_embeddings": config.get("tie_word_embeddings", False),
    }  # fmt: skip


def _llama_mappings(model: Model) -> Iterator[WeightMapping]:
    yield WeightMapping("0.token.weight", ("model.embed_tokens.weight",))
    leaves = ("weight", "bias") if model.biases else ("weight",)
    parts = {
        "attention.query_key_value": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        "attention.output": ("self_attn.o_proj",), "feed_forward.gate": ("mlp.gate_proj",),
        "feed_forward.up": ("mlp.up_proj",), "feed_forward.down": ("mlp.down_proj",),
    }  # fmt: skip
    for block in range(model.layers):
        prefix, hf_prefix = f"{block + 1}.", f"model.layers.{block}."
        yield WeightMapping(f"{prefix}attention_norm.weight", (f"{hf_prefix}input_layernorm.weight",))
        yield WeightMapping(
            f"{prefix}feed_forward_norm.weight", (f"{hf_prefix}post_attention_layernorm.weight",)
        )
        for leaf in leaves:
            for name, hf_parts in parts.items():
                hf_names = tuple(f"{hf_prefix}{part}.{leaf}" for part in hf_parts)
                yield WeightMapping(f"{prefix}{name}.{leaf}", hf_names)
    yield WeightMapping(f"{model.layers + 1}.norm.weight", ("model.norm.weight",))
    if not model.tied_embeddings:
        yield WeightMapping(f"{model.layers + 2}.weight", ("lm_head.weight",))


GPT2 = Architecture(
    "GPT-2", "gpt2", "GPT2LMHeadModel",
    {"family": "decoder", "positions": "learned", "norm": "layernorm", "feed_forward": "gelu", "biases": True},
    _gpt2_config, _gpt2_model,
    {
        "activation_function": ("gelu_new", "gelu_pytorch_tanh"), "layer_norm_epsilon": (EPSILON,),
        "scale_attn_weights": (True,), "scale_attn_by_inverse_layer_idx": (False,), "add_cross_attention": (False,),
    },
    _gpt2_mappings, "transformer.",
)  # fmt: skip
LLAMA = Architecture(
    "Llama", "llama", "LlamaForCausalLM",
    {"family": "decoder", "positions": "rotary", "norm": "rmsnorm", "feed_forward": "swiglu"},
    _llama_config, _llama_model,
    {
        "hidden_act": ("silu", "swish"), "rms_norm_eps": (EPSILON,), "rope_theta": (ROTARY_BASE,),
        "rope_scaling": (None,), "rope_type": ("default",), "pretraining_tp": (1,),
    },
    _llama_mappings, "model.",
)  # fmt: skip
ARCHITECTURES = (GPT2, LLAMA)


def find_architecture(model: Model) -> Architecture:
    """Return the architecture that matches a model. Raises ArchitectureError with the mismatches of each."""
    misfits = {architecture.name: list(_misfits(model, architecture)) for architecture in ARCHITECTURES}
    for architecture in ARCHITECTURES:
        if not misfits[architecture.name]:
            return architecture
    reasons = "; ".join(f"{name} needs {', '.join(found)}" for name, found in misfits.items())
    raise ArchitectureError(f"The model matches neither GPT-2 nor Llama: {reasons}.")


def _misfits(model: Model, architecture: Architecture) -> Iterator[str]:
    for field, required in architecture.required.items():
        value = getattr(model, field)
        if value != required:
            yield f"{field} {required} instead of {value}".replace("True", "on").replace("False", "off")
    if architecture is GPT2 and model.num_kv_heads != model.heads:
        yield f"kv_heads {model.heads} instead of {model.kv_heads}"


def read_config(config: Mapping[str, Any]) -> tuple[Architecture, dict[str, Any]]:
    """Return the architecture of a config.json and its fields of spec.model. Raises ArchitectureError."""
    known = {architecture.model_type: architecture for architecture in ARCHITECTURES}
    architecture = known.get(str(config.get("model_type")))
    if architecture is None:
        raise ArchitectureError(
            f"its model type is {config.get('model_type')!r}; the supported types are {' and '.join(known)}"
        )
    rotary = config.get("rope_parameters") or {}
    if not isinstance(rotary, Mapping):
        raise ArchitectureError("its rope_parameters are not a JSON object")
    values = {**config, **rotary}
    for field, allowed in architecture.allowed_values.items():
        if field in values and values[field] not in allowed:
            raise ArchitectureError(f"its {field} is {values[field]}; the supported value is {allowed[0]}")
    for field in SIZE_FIELDS:
        if config.get(field) is not None:
            read_size(config, field)
    for field in FLAGS:
        if not isinstance(config.get(field, False), bool):
            raise ArchitectureError(f"its {field} is {config[field]!r}; it must be true or false")
    try:
        return architecture, dict(architecture.required) | architecture.model(config)
    except (KeyError, TypeError) as error:  # a field is missing or null
        raise ArchitectureError(f"its config.json has no usable field {error}") from None


def read_size(config: Mapping[str, Any], field: str) -> int:
    """Return a size in a config.json. Raises ArchitectureError unless it is a positive number of 32 bits."""
    value = config.get(field)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= LARGEST_SIZE:
        raise ArchitectureError(
            f"its {field} is {value!r}; it must be a whole number from 1 to {LARGEST_SIZE:,}"
        )
    return value
