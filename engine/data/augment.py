"""Augmentation: some input tokens of training are blanked out, differently each time."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.data.batches import Rows
from engine.data.order import random_of
from engine.data.sources import Training
from engine.data.specials import PADDING, Specials

_PURPOSE = 2


class TokenDropout:
    """Another source's rows with a share of their input tokens replaced by the mask (word dropout: Iyyer et al.,
    2015, https://aclanthology.org/P15-1162). Targets and special tokens stay."""

    def __init__(
        self, source: Training, share: float, global_batch: int, seed: int, special: Specials
    ) -> None:
        self._source, self._share, self._global_batch, self._seed = source, share, global_batch, seed
        self._mask = special.mask
        self._kept = (PADDING, special.begin, special.separator, special.end)

    def rows(self, step: int, start: int, stop: int) -> tuple[Any, Rows]:
        inputs, targets = self._source.rows(step, start, stop)
        parts = inputs if isinstance(inputs, tuple) else (inputs,)
        blanked = tuple(ids.copy() for ids in parts)
        first = step * self._global_batch + start
        for row in range(len(blanked[0])):
            random = random_of(self._seed, first + row, _PURPOSE)
            for ids in blanked:
                chosen = random.random(ids.shape[1]) < self._share
                ids[row, chosen & ~np.isin(ids[row], self._kept)] = self._mask
        return blanked if isinstance(inputs, tuple) else blanked[0], targets

    def correction(self, step: int) -> float:
        return self._source.correction(step)
