"""Matrices of a model that adapters can be added to, chosen by pattern.

A name is the number of the layer and the name in the layer: 3.attention.query. A pattern matches it with or without
the number. Query, key and value are one matrix here; each has an adapter of its own, unless a pattern names the whole
matrix (attention.query_key_value), which then has one adapter for all three, as peft gives GPT-2's c_attn.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from engine.spec.problems import Problem

if TYPE_CHECKING:
    from engine.spec.model import Model
    from engine.spec.spec import Spec

DEFAULT_TARGETS = "*attention.*, feed_forward.*"
HEAD = "head"
# Matrices that hold several projections, which have adapters of their own.
FUSED = {"query_key_value": ("query", "key", "value"), "key_value": ("key", "value")}


class AdaptedMatrix(NamedTuple):
    """One matrix of one layer and its adapters: the names of its parts, or its own last name for one adapter."""

    layer: int
    name: str  # in the layer; HEAD is the layer itself
    parts: tuple[str, ...]


def split_patterns(targets: str) -> list[str]:
    return [pattern.strip() for pattern in targets.split(",") if pattern.strip()]


def find_parts(targets: str, layer: int, name: str) -> tuple[str, ...]:
    """Return the adapters of a matrix; none if no pattern matches it."""
    patterns = split_patterns(targets)
    stem, _, leaf = name.rpartition(".")
    if any(pattern in (name, f"{layer}.{name}") for pattern in patterns if leaf in FUSED):
        return (leaf,)
    prefix = f"{stem}." if stem else ""
    return tuple(
        part
        for part in FUSED.get(leaf, (leaf,))
        if any(_matches(pattern, layer, f"{prefix}{part}") for pattern in patterns)
    )


def has_plain_head(model: Model) -> bool:
    """Whether an adapter of the head can be merged. The matrix of a tied head is the embedding's too, and the adapter
    is added to the logits before nothing else changes them."""
    return not (
        model.tied_embeddings or model.head_transform or model.logit_softcap or model.logit_scale != 1
    )


def list_matrices(model: Model) -> Iterator[tuple[int, str]]:
    """Yield layer and name of every matrix product of the blocks, and the head."""
    feed_forward = [f"feed_forward.{leaf}" for leaf in ("gate", "up", "down")]
    if not model.is_gated:
        feed_forward.pop(0)
    own = ["attention.query_key_value", "attention.output"]
    cross = ["cross_attention.query", "cross_attention.key_value", "cross_attention.output"]
    encoders, decoders = model.num_encoder_layers, model.num_decoder_layers
    for layer in range(1, encoders + 1):
        yield from ((layer, name) for name in (*own, *feed_forward))
    first = encoders + 1 + (model.family == "encoder-decoder")
    for layer in range(first, first + decoders):
        yield from ((layer, name) for name in (*own, *(cross if encoders else ()), *feed_forward))
    if (
        not model.tied_embeddings
    ):  # an adapter of a tied head could not be merged: the embedding would change too
        yield first + decoders + 1, HEAD


def adapted_matrices(spec: Spec) -> list[AdaptedMatrix]:
    """Return the matrices with adapters; none for a run without adapters."""
    if not spec.adapter.is_on:
        return []
    has_head = spec.data.objective != "classes"  # a head of classes is new, so it is trained itself
    found = (
        AdaptedMatrix(layer, name, find_parts(spec.adapter.targets, layer, name))
        for layer, name in list_matrices(spec.model)
        if has_head or name != HEAD
    )
    return [matrix for matrix in found if matrix.parts]


def adapter_problems(spec: Spec) -> Iterator[Problem]:
    if not spec.adapter.is_on:
        return
    if not spec.start_from:
        message = (
            "An adapter is trained beside frozen weights, so the run must start from some: a run or a Hugging Face "
            "folder in the data folder. With rank 0 all weights are trained."
        )
        yield Problem("start_from", message, {"adapter.rank": 0})
    matrices = list(list_matrices(spec.model))
    for pattern in split_patterns(spec.adapter.targets) or [spec.adapter.targets]:
        if not any(find_parts(pattern, layer, name) for layer, name in matrices):
            yield Problem(
                "adapter.targets", _unmatched(pattern, matrices), {"adapter.targets": DEFAULT_TARGETS}
            )
    yield from _stage_problems(spec)


def _stage_problems(spec: Spec) -> Iterator[Problem]:
    """DeepSpeed cannot run a stage whose parameters are all frozen."""
    blocks = sorted({layer for layer, name in list_matrices(spec.model) if name != HEAD})
    adapted = {matrix.layer for matrix in adapted_matrices(spec)}
    base, extra = divmod(len(blocks), spec.parallel.stages)
    at = 0
    for stage in range(spec.parallel.stages if spec.parallel.stages <= len(blocks) else 0):
        own = blocks[at : at + base + (stage < extra)]
        at += len(own)
        is_last = stage == spec.parallel.stages - 1
        if not adapted & {*own, *({blocks[-1] + 2} if is_last else ())} and adapted:
            message = (
                f"Stage {stage + 1} of {spec.parallel.stages} has no adapter, so it would have nothing to train. Adapt "
                "a matrix in every stage, or use one stage."
            )
            yield Problem("adapter.targets", message, {"parallel.stages": 1})
            return


def _matches(pattern: str, layer: int, name: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(f"{layer}.{name}", pattern)


def _unmatched(pattern: str, matrices: list[tuple[int, str]]) -> str:
    names = dict.fromkeys(
        f"{stem}.{part}" if stem else part
        for stem, leaf in (name.rpartition(".")[::2] for _, name in matrices)
        for part in FUSED.get(leaf, (leaf,))
    )
    near = difflib.get_close_matches(pattern, names, n=1)
    hint = f"Did you mean '{near[0]}'?" if near else f"It has {', '.join(names)}."
    if pattern == HEAD:
        hint = (
            "Its head is tied to the token embedding, or scales, limits or transforms logits, so an adapter of it could "
            "not be merged."
        )
    return f"No matrix of the model matches '{pattern[:100]}'. {hint}"
