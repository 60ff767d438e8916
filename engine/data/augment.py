"""Data augmentation: token dropout on training inputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.data.batches import Rows
from engine.data.order import build_generator
from engine.data.packing import PackedInputs
from engine.data.sources import TrainingData
from engine.data.special_tokens import PADDING, SpecialTokens

_GENERATOR_PURPOSE = 2


class TokenDropout:
    """Rows of another source with a share of the input tokens replaced by the mask token.

    Word dropout: Iyyer et al., 2015, https://aclanthology.org/P15-1162. The replaced tokens differ at every pass.
    Targets and special tokens do not change.
    """

    def __init__(
        self, source: TrainingData, share: float, global_batch: int, seed: int, special: SpecialTokens
    ) -> None:
        self._source, self._share, self._global_batch, self._seed = source, share, global_batch, seed
        self._mask = special.mask
        self._protected = (PADDING, special.begin, special.separator, special.end)

    def rows(self, step: int, start: int, stop: int) -> tuple[Any, Rows]:
        inputs, targets = self._source.rows(step, start, stop)
        if isinstance(inputs, PackedInputs):
            return inputs._replace(ids=self._mask_rows(step, start, (inputs.ids,))[0]), targets
        parts = inputs if isinstance(inputs, tuple) else (inputs,)
        masked = self._mask_rows(step, start, parts)
        return masked if isinstance(inputs, tuple) else masked[0], targets

    def _mask_rows(self, step: int, start: int, parts: tuple[Rows, ...]) -> tuple[Rows, ...]:
        masked = tuple(ids.copy() for ids in parts)
        first = step * self._global_batch + start
        for row in range(len(masked[0])):
            random = build_generator(self._seed, first + row, _GENERATOR_PURPOSE)
            for ids in masked:
                chosen = random.random(ids.shape[1]) < self._share
                ids[row, chosen & ~np.isin(ids[row], self._protected)] = self._mask
        return masked

    def correction(self, step: int) -> float:
        return self._source.correction(step)
