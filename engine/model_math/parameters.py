"""Names and shapes of the parameters of each kind of layer.

The layers of engine.rank.model have these parameters. Counts, FLOPs, the planner and the mapping of Hugging Face
folders read them here, because they load without torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Literal, NamedTuple

from engine.spec.model import Model

LayerKind = Literal[
    "embed", "decoder_block", "window_block", "encoder_block", "cross_block", "source_norm", "norm", "head",
    "class_head",
]  # fmt: skip


class Parameter(NamedTuple):
    """One parameter of a layer; `split_dim` is the dimension that tensor parallelism splits."""

    name: str
    shape: tuple[int, ...]
    split_dim: int | None = None

    @property
    def size(self) -> int:
        size = 1
        for length in self.shape:
            size *= length
        return size


@lru_cache(maxsize=4096)
def layer_parameters(model: Model, vocab_size: int, kind: LayerKind) -> tuple[Parameter, ...]:
    """Return the parameters of a layer, whole."""
    if kind.endswith("_block"):
        return tuple(_block(model, kind))
    return tuple({"embed": _embed, "head": _head}.get(kind, _end)(model, vocab_size, kind))


def _embed(model: Model, vocab_size: int, kind: str) -> Iterator[Parameter]:
    width = model.width
    yield Parameter("token.weight", (vocab_size, width))
    if model.positions == "learned":
        yield Parameter("position.weight", (model.context, width))
    if model.positions == "relative":
        stacks = {"encoder": model.num_encoder_layers, "decoder": model.num_decoder_layers}
        for stack in (stack for stack, layers in stacks.items() if layers):
            yield Parameter(f"{stack}_bias.weight", (model.relative_buckets, model.heads), 1)
    if model.token_types:
        yield Parameter("token_type.weight", (model.token_types, width))
    if model.embedding_norm:
        yield from _norm(model, "norm")


def _head(model: Model, vocab_size: int, kind: str) -> Iterator[Parameter]:
    yield Parameter("weight", (vocab_size, model.width))
    if model.head_transform:
        yield Parameter("bias", (vocab_size,))
        yield from _matrix("transform", model.width, model.width, True)
        yield from _norm(model, "transform_norm")


def _end(model: Model, vocab_size: int, kind: str) -> Iterator[Parameter]:
    if kind == "class_head":
        yield from _matrix("", model.classes, model.width, True)
    elif model.has_final_norm:
        yield from _norm(model, "norm")


def _block(model: Model, kind: str) -> Iterator[Parameter]:
    yield from _norms(model, "attention")
    yield from _attention(model)
    if kind == "cross_block":
        yield from _norms(model, "cross_attention")
        yield from _cross_attention(model)
    yield from _norms(model, "feed_forward")
    bias = model.has_feed_forward_biases
    for name in ("gate", "up") if model.is_gated else ("up",):
        yield from _matrix(f"feed_forward.{name}", model.ffn_width, model.width, bias, 0)
    yield from _matrix("feed_forward.down", model.width, model.ffn_width, bias, 1)


def _norms(model: Model, sublayer: str) -> Iterator[Parameter]:
    yield from _norm(model, f"{sublayer}_norm")
    if model.norm_position == "sandwich":
        yield from _norm(model, f"{sublayer}_post_norm")


def _attention(model: Model) -> Iterator[Parameter]:
    queries, keys = model.query_width, model.kv_width
    name = "attention.query_key_value"
    yield from _matrix(name, queries + 2 * keys, model.width, model.has_qkv_biases, 0)
    yield from _matrix("attention.output", model.width, queries, model.has_output_bias, 1)
    if model.qk_norm == "head":
        yield Parameter("attention.query_norm.weight", (model.head_size,))
        yield Parameter("attention.key_norm.weight", (model.head_size,))
    elif model.qk_norm == "full":
        yield Parameter("attention.query_norm.weight", (queries,), 0)
        yield Parameter("attention.key_norm.weight", (keys,), 0)


def _cross_attention(model: Model) -> Iterator[Parameter]:
    queries, keys, bias = model.query_width, model.kv_width, model.has_qkv_biases
    yield from _matrix("cross_attention.query", queries, model.width, bias, 0)
    yield from _matrix("cross_attention.key_value", 2 * keys, model.width, bias, 0)
    yield from _matrix("cross_attention.output", model.width, queries, model.has_output_bias, 1)


def _matrix(
    name: str, outputs: int, inputs: int, bias: bool, split_dim: int | None = None
) -> Iterator[Parameter]:
    prefix = f"{name}." if name else ""
    yield Parameter(f"{prefix}weight", (outputs, inputs), split_dim)
    if bias:
        yield Parameter(f"{prefix}bias", (outputs,), 0 if split_dim == 0 else None)


def _norm(model: Model, name: str) -> Iterator[Parameter]:
    yield Parameter(f"{name}.weight", (model.width,))
    if model.norm == "layernorm":
        yield Parameter(f"{name}.bias", (model.width,))
