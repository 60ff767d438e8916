"""Split of a parameter over tensor-parallel ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class TensorSplit:
    """Rule of a split: along `dim`, each section is divided into equal parts. A fused query-key-value matrix has
    three sections.

    The layers of engine.rank define the rules (`splits`). A parameter without a rule is whole on every tensor rank.
    """

    dim: int
    sections: tuple[int, ...]  # sizes along `dim` of the whole parameter; their sum is its size along `dim`

    def to_json(self) -> dict[str, Any]:
        return {"dim": self.dim, "sections": list(self.sections)}

    @classmethod
    def from_json(cls, values: dict[str, Any] | None) -> TensorSplit | None:
        return None if values is None else cls(values["dim"], tuple(values["sections"]))


def join_shape(shape: Sequence[int], split: TensorSplit | None) -> tuple[int, ...]:
    """Return the shape of the whole parameter from the shape of one part."""
    if split is None:
        return tuple(shape)
    return (*shape[: split.dim], sum(split.sections), *shape[split.dim + 1 :])


def split_shape(shape: Sequence[int], split: TensorSplit | None, parts: int) -> tuple[int, ...]:
    """Return the shape of one of `parts` parts from the shape of the whole parameter."""
    if split is None:
        return tuple(shape)
    return (*shape[: split.dim], sum(split.sections) // parts, *shape[split.dim + 1 :])


def extract_part(whole: Array, split: TensorSplit | None, index: int, parts: int) -> Array:
    """Return part `index` of a whole parameter."""
    if split is None or parts == 1:
        return whole
    arrays, at = [], 0
    for size in split.sections:
        share = size // parts
        arrays.append(np.take(whole, range(at + index * share, at + (index + 1) * share), split.dim))
        at += size
    return np.concatenate(arrays, split.dim)


def join_parts(parts: Sequence[Array], split: TensorSplit | None) -> Array:
    """Return the whole parameter from all its parts, in order."""
    if split is None or len(parts) == 1:
        return parts[0]
    arrays, at = [], 0
    for size in split.sections:
        share = size // len(parts)
        arrays += [np.take(part, range(at, at + share), split.dim) for part in parts]
        at += share
    return np.concatenate(arrays, split.dim)
