"""Differences in storage between a parameter here and its tensor in a Hugging Face folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.spec.model import Model

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Transform:
    """One way of storage, both ways. `shape` is that of the tensor there from the one here."""

    to_hf: Callable[[Array, Model], Array]
    from_hf: Callable[[Array, Model], Array]
    shape: Callable[[Shape], Shape] = lambda shape: shape


PLAIN = Transform(lambda array, model: array, lambda array, model: array)
# GPT-2's Conv1D stores [in, out].
TRANSPOSED = Transform(lambda array, model: array.T, lambda array, model: array.T, lambda shape: shape[::-1])
# Gemma's norms store the weight minus one.
MINUS_ONE = Transform(lambda array, model: array - np.float32(1), lambda array, model: array + np.float32(1))


def _interleave(array: Array, model: Model) -> Array:
    """[3, heads, size, ...] -> [heads, 3, size, ...]: GPT-NeoX stores query, key and value of each head together."""
    parts = array.reshape(3, model.heads, model.head_size, *array.shape[1:])
    return parts.swapaxes(0, 1).reshape(array.shape)


def _separate(array: Array, model: Model) -> Array:
    parts = array.reshape(model.heads, 3, model.head_size, *array.shape[1:])
    return parts.swapaxes(0, 1).reshape(array.shape)


INTERLEAVED = Transform(_interleave, _separate)


def skipped_rows(count: int) -> Transform:
    """Storage with `count` unused rows before the first, as OPT's and RoBERTa's learned positions."""
    return Transform(
        lambda array, model: np.concatenate([np.zeros((count, *array.shape[1:]), array.dtype), array]),
        lambda array, model: array[count:],
        lambda shape: (shape[0] + count, *shape[1:]),
    )
