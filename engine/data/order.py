"""Shuffled order of examples, a pure function of seed and example number."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt


class Order:
    """Maps an example number (step x global batch + position) to an index; each epoch has its own permutation."""

    def __init__(self, count: int, seed: int) -> None:
        self._count, self._seed = count, seed
        self._epoch_order = lru_cache(maxsize=2)(self._shuffle_epoch)

    def __getitem__(self, number: int) -> int:
        epoch, position = divmod(number, self._count)
        return int(self._epoch_order(epoch)[position])

    def _shuffle_epoch(self, epoch: int) -> npt.NDArray[np.int64]:
        return np.random.Generator(np.random.PCG64([self._seed, epoch])).permutation(self._count)


def build_generator(seed: int, number: int, purpose: int) -> np.random.Generator:
    """Build the random generator of one example, which depends on seed, example number and purpose alone."""
    return np.random.Generator(np.random.PCG64([seed, number, purpose]))
