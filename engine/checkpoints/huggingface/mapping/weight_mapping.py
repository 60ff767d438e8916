"""Mapping between parameters here and tensors in a Hugging Face folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from engine.checkpoints.huggingface.mapping.transforms import Array, Transform
from engine.spec.model import Model


@dataclass(frozen=True)
class WeightMapping:
    """Parameters here and tensors there with the same values. Several on a side are joined along the first
    dimension: query, key and value are three tensors in Llama and one here; gate and up are one in Phi 3."""

    names: tuple[str, ...]
    hf_names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]  # of the parameters here
    transform: Transform
    model: Model

    def hf_shapes(self) -> list[tuple[int, ...]]:
        """Return the shapes of the tensors there."""
        whole = self.transform.shape((sum(shape[0] for shape in self.shapes), *self.shapes[0][1:]))
        return [(rows, *whole[1:]) for rows in self._hf_rows(whole[0])]

    def to_hf(self, parameters: Sequence[Array], index: int) -> Array:
        """Return tensor `index` there from all parameters here."""
        whole = self.transform.to_hf(_joined(parameters), self.model)
        return np.ascontiguousarray(_cut(whole, self._hf_rows(len(whole)))[index])

    def from_hf(self, tensors: Sequence[Array], index: int) -> Array:
        """Return parameter `index` here, in fp32, from all tensors there."""
        whole = self.transform.from_hf(_joined(tensors), self.model)
        part = _cut(whole, [shape[0] for shape in self.shapes])[index]
        return np.ascontiguousarray(part, dtype=np.float32)

    def _hf_rows(self, whole: int) -> list[int]:
        count = len(self.hf_names)
        if count == 3:  # query, key and value
            return [self.model.query_width, self.model.kv_width, self.model.kv_width]
        return [whole // count] * count


def _joined(arrays: Sequence[Array]) -> Array:
    return np.concatenate(arrays) if len(arrays) > 1 else arrays[0]


def _cut(whole: Array, rows: Sequence[int]) -> list[Any]:
    return np.split(whole, list(accumulate(rows))[:-1]) if len(rows) > 1 else [whole]
