"""How tensor-parallel ranks share one parameter, and how their parts make it whole again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Cut:
    """Along `dim`, each of the `sections` is given out in equal parts; a fused query-key-value matrix has three.

    As engine.rank's layers say it (`splits`); a parameter without a rule is whole on every tensor rank.
    """

    dim: int
    sections: tuple[int, ...]  # sizes along `dim` of the whole parameter; their sum is its size there

    def to_json(self) -> dict[str, Any]:
        return {"dim": self.dim, "sections": list(self.sections)}

    @classmethod
    def from_json(cls, values: dict[str, Any] | None) -> Cut | None:
        return None if values is None else cls(values["dim"], tuple(values["sections"]))


def whole_shape(shape: Sequence[int], cut: Cut | None) -> tuple[int, ...]:
    """The shape of the whole parameter, from one part's."""
    if cut is None:
        return tuple(shape)
    return (*shape[: cut.dim], sum(cut.sections), *shape[cut.dim + 1 :])


def part_shape(shape: Sequence[int], cut: Cut | None, parts: int) -> tuple[int, ...]:
    """The shape of one of `parts` parts, from the whole parameter's."""
    if cut is None:
        return tuple(shape)
    return (*shape[: cut.dim], sum(cut.sections) // parts, *shape[cut.dim + 1 :])


def part_of(whole: Array, cut: Cut | None, index: int, parts: int) -> Array:
    """Part `index` of a whole parameter."""
    if cut is None or parts == 1:
        return whole
    pieces, at = [], 0
    for size in cut.sections:
        share = size // parts
        pieces.append(np.take(whole, range(at + index * share, at + (index + 1) * share), cut.dim))
        at += size
    return np.concatenate(pieces, cut.dim)


def joined(parts: Sequence[Array], cut: Cut | None) -> Array:
    """The whole parameter from all its parts, in their order."""
    if cut is None or len(parts) == 1:
        return parts[0]
    pieces, at = [], 0
    for size in cut.sections:
        share = size // len(parts)
        pieces += [np.take(part, range(at, at + share), cut.dim) for part in parts]
        at += share
    return np.concatenate(pieces, cut.dim)
