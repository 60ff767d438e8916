"""Which tokens a step sees: a pure function of seed, step and position in the global batch."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from engine.data.arrays import Tokens
from engine.data.specials import IGNORED, PADDING

__all__ = ["IGNORED", "PADDING", "TrainingBatches", "ValidationBatches"]

VALIDATION_TOKENS = 2**17  # at most so many tokens are judged, spread over the whole held-out part

Rows = npt.NDArray[np.int64]


class TrainingBatches:
    """Sequences of a training part in an order that no layout changes.

    Each epoch cuts the tokens into sequences of `context`, from an offset of its own, and shuffles them.
    Sequence number step x global batch + position is the same wherever and however often it is asked for.
    """

    def __init__(self, tokens: Tokens, context: int, global_batch: int, seed: int) -> None:
        self._tokens, self._global_batch, self._seed = tokens, global_batch, seed
        self.context = context
        self._per_epoch = max(1, (len(tokens) - context) // context)
        self._order = lru_cache(maxsize=2)(self._shuffled)

    def rows(self, step: int, start: int, stop: int) -> tuple[Rows, Rows]:
        """Inputs and targets [stop - start, context] of positions start..stop of the step's global batch."""
        first = step * self._global_batch
        starts = [self._token_of(number) for number in range(first + start, first + stop)]
        return _cut(self._tokens, starts, self.context)

    def correction(self, step: int) -> float:
        """Mean over all slots of the step's global batch x this = mean over its real targets."""
        return 1.0

    def _token_of(self, number: int) -> int:
        epoch, place = divmod(number, self._per_epoch)
        offset, order = self._order(epoch)
        return offset + int(order[place]) * self.context

    def _shuffled(self, epoch: int) -> tuple[int, npt.NDArray[np.int64]]:
        random = np.random.Generator(np.random.PCG64([self._seed, epoch]))
        slack = len(self._tokens) - self._per_epoch * self.context
        return int(random.integers(0, slack)), random.permutation(self._per_epoch)


class ValidationBatches:
    """The held-out sequences, always the same, in whole global batches; the last is filled up with ignored rows."""

    def __init__(self, tokens: Tokens, context: int, global_batch: int) -> None:
        available = (len(tokens) - 1) // context
        count = max(1, min(available, VALIDATION_TOKENS // context))
        self._tokens, self._global_batch = tokens, global_batch
        self.context = context
        self._starts = [int(i) * context for i in np.linspace(0, available - 1, count)]
        self.batches = -(-count // global_batch)
        # Mean over all slots x this = mean over the real tokens.
        self.correction = self.batches * global_batch / count

    def rows(self, batch: int, start: int, stop: int) -> tuple[Rows, Rows]:
        """Inputs and targets of positions start..stop of a validation batch; padded rows have ignored targets."""
        numbers = range(batch * self._global_batch + start, batch * self._global_batch + stop)
        starts = [self._starts[number] if number < len(self._starts) else 0 for number in numbers]
        inputs, targets = _cut(self._tokens, starts, self.context)
        targets[[number >= len(self._starts) for number in numbers]] = IGNORED
        return inputs, targets


def _cut(tokens: Tokens, starts: list[int], context: int) -> tuple[Rows, Rows]:
    window = np.stack([tokens[start : start + context + 1] for start in starts]).astype(np.int64)
    return window[:, :-1], window[:, 1:].copy()
