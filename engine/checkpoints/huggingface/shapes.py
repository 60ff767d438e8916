"""Which of our models is which of theirs: one row a shape, with its fields and the names of its weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.spec.parts import Model

EPSILON = 1e-5  # of every norm here
ROTARY_BASE = 10_000.0


class ShapeError(ValueError):
    """A model that fits none of the shapes; the sentence says what stands against it."""


@dataclass(frozen=True)
class Entry:
    """One tensor of ours and what it is there: as it is, transposed (GPT-2's Conv1D holds [in, out]), or in several
    tensors one below the other (Llama's query, key and value)."""

    ours: str
    theirs: tuple[str, ...]
    is_transposed: bool = False


@dataclass(frozen=True)
class Shape:
    """One of theirs. `demands`: what a model here must be like, whatever its sizes."""

    name: str
    model_type: str
    architecture: str
    demands: Mapping[str, Any]
    config: Callable[[Model, int], dict[str, Any]]  # model, vocabulary -> their sizes
    model: Callable[[Mapping[str, Any]], dict[str, Any]]  # config.json -> fields of spec.model
    fixed: Mapping[str, Any]  # in config.json: what must stand there, where anything stands there
    entries: Callable[[Model], Iterator[Entry]]
    prefix: str  # which a folder of the bare model leaves out


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


def _gpt2_entries(model: Model) -> Iterator[Entry]:
    yield Entry("0.token.weight", ("transformer.wte.weight",))
    yield Entry("0.position.weight", ("transformer.wpe.weight",))
    matrices = {
        "attention.query_key_value": "attn.c_attn", "attention.output": "attn.c_proj",
        "feed_forward.up": "mlp.c_fc", "feed_forward.down": "mlp.c_proj",
    }  # fmt: skip
    for block in range(model.layers):
        ours, theirs = f"{block + 1}.", f"transformer.h.{block}."
        for leaf in ("weight", "bias"):
            yield Entry(f"{ours}attention_norm.{leaf}", (f"{theirs}ln_1.{leaf}",))
            yield Entry(f"{ours}feed_forward_norm.{leaf}", (f"{theirs}ln_2.{leaf}",))
            for name, there in matrices.items():
                yield Entry(f"{ours}{name}.{leaf}", (f"{theirs}{there}.{leaf}",), leaf == "weight")
    for leaf in ("weight", "bias"):
        yield Entry(f"{model.layers + 1}.norm.{leaf}", (f"transformer.ln_f.{leaf}",))
    if not model.tied_embeddings:
        yield Entry(f"{model.layers + 2}.weight", ("lm_head.weight",))


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
        raise ShapeError(f"its heads are {config['head_dim']} wide and not {width} / {heads}")
    if config.get("attention_bias", False) != config.get("mlp_bias", False):
        raise ShapeError("it has biases in attention or feed-forward alone")
    keys = config.get("num_key_value_heads") or heads
    return {
        "layers": config["num_hidden_layers"], "width": width, "heads": heads,
        "kv_heads": None if keys == heads else keys, "ffn_width": config["intermediate_size"],
        "context": config["max_position_embeddings"], "biases": config.get("attention_bias", False),
        "tied_embeddings": config.get("tie_word_embeddings", False),
    }  # fmt: skip


def _llama_entries(model: Model) -> Iterator[Entry]:
    yield Entry("0.token.weight", ("model.embed_tokens.weight",))
    leaves = ("weight", "bias") if model.biases else ("weight",)
    parts = {
        "attention.query_key_value": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        "attention.output": ("self_attn.o_proj",), "feed_forward.gate": ("mlp.gate_proj",),
        "feed_forward.up": ("mlp.up_proj",), "feed_forward.down": ("mlp.down_proj",),
    }  # fmt: skip
    for block in range(model.layers):
        ours, theirs = f"{block + 1}.", f"model.layers.{block}."
        yield Entry(f"{ours}attention_norm.weight", (f"{theirs}input_layernorm.weight",))
        yield Entry(f"{ours}feed_forward_norm.weight", (f"{theirs}post_attention_layernorm.weight",))
        for leaf in leaves:
            for name, there in parts.items():
                yield Entry(f"{ours}{name}.{leaf}", tuple(f"{theirs}{part}.{leaf}" for part in there))
    yield Entry(f"{model.layers + 1}.norm.weight", ("model.norm.weight",))
    if not model.tied_embeddings:
        yield Entry(f"{model.layers + 2}.weight", ("lm_head.weight",))


GPT2 = Shape(
    "GPT-2", "gpt2", "GPT2LMHeadModel",
    {"family": "decoder", "positions": "learned", "norm": "layernorm", "feed_forward": "gelu", "biases": True},
    _gpt2_config, _gpt2_model,
    {
        "activation_function": ("gelu_new", "gelu_pytorch_tanh"), "layer_norm_epsilon": (EPSILON,),
        "scale_attn_weights": (True,), "scale_attn_by_inverse_layer_idx": (False,), "add_cross_attention": (False,),
    },
    _gpt2_entries, "transformer.",
)  # fmt: skip
LLAMA = Shape(
    "Llama", "llama", "LlamaForCausalLM",
    {"family": "decoder", "positions": "rotary", "norm": "rmsnorm", "feed_forward": "swiglu"},
    _llama_config, _llama_model,
    {
        "hidden_act": ("silu", "swish"), "rms_norm_eps": (EPSILON,), "rope_theta": (ROTARY_BASE,),
        "rope_scaling": (None,), "rope_type": ("default",), "pretraining_tp": (1,),
    },
    _llama_entries, "model.",
)  # fmt: skip
SHAPES = (GPT2, LLAMA)


def shape_of(model: Model) -> Shape:
    """The shape that a model here has. Raises ShapeError with what stands against each."""
    against = {shape.name: list(_misfits(model, shape)) for shape in SHAPES}
    for shape in SHAPES:
        if not against[shape.name]:
            return shape
    said = "; ".join(f"{name} would need {', '.join(misfits)}" for name, misfits in against.items())
    raise ShapeError(f"This model has neither the shape of GPT-2 nor that of Llama: {said}.")


def _misfits(model: Model, shape: Shape) -> Iterator[str]:
    for field, wanted in shape.demands.items():
        value = getattr(model, field)
        if value != wanted:
            yield f"{field} {wanted} instead of {value}".replace("True", "on").replace("False", "off")
    if shape is GPT2 and model.num_kv_heads != model.heads:
        yield f"kv_heads {model.heads} instead of {model.kv_heads}"


def shape_in(config: Mapping[str, Any]) -> tuple[Shape, dict[str, Any]]:
    """The shape that a config.json describes, and the fields of spec.model that it decides. Raises ShapeError."""
    known = {shape.model_type: shape for shape in SHAPES}
    shape = known.get(str(config.get("model_type")))
    if shape is None:
        raise ShapeError(
            f"its model type is {config.get('model_type')!r}; {' and '.join(known)} are read here"
        )
    said = {**config, **(config.get("rope_parameters") or {})}
    for field, allowed in shape.fixed.items():
        if field in said and said[field] not in allowed:
            raise ShapeError(f"its {field} is {said[field]}; models here have {allowed[0]}")
    try:
        return shape, dict(shape.demands) | shape.model(config)
    except KeyError as error:
        raise ShapeError(f"its config.json lacks {error}") from None
