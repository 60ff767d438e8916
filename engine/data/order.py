"""In which order examples come: shuffled anew each epoch, a pure function of seed and number."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt


class Order:
    """Example number step x global batch + position is the same wherever and however often it is asked for."""

    def __init__(self, count: int, seed: int) -> None:
        self._count, self._seed = count, seed
        self._order = lru_cache(maxsize=2)(self._shuffled)

    def __getitem__(self, number: int) -> int:
        epoch, place = divmod(number, self._count)
        return int(self._order(epoch)[place])

    def _shuffled(self, epoch: int) -> npt.NDArray[np.int64]:
        return np.random.Generator(np.random.PCG64([self._seed, epoch])).permutation(self._count)


def random_of(seed: int, number: int, purpose: int) -> np.random.Generator:
    """A generator of one example's own: what it draws does not depend on who asks, when, or with whom."""
    return np.random.Generator(np.random.PCG64([seed, number, purpose]))
