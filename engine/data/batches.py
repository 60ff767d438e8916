"""Batches of token sequences, a pure function of seed, step and position."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from engine.data.arrays import Tokens
from engine.data.special_tokens import IGNORED, PADDING

__all__ = ["IGNORED", "PADDING", "TrainingBatches", "ValidationBatches"]

VALIDATION_TOKENS = 2**17  # most tokens to evaluate, spread evenly over the held-out part

Rows = npt.NDArray[np.int64]


class TrainingBatches:
    """Sequences of the training part in an order that does not depend on the parallel layout.

    Each epoch cuts the tokens into sequences of `context`, starting at its own random offset, and shuffles them.
    Sequence number step x global batch + position is the same on every rank and at every call.
    """

    def __init__(self, tokens: Tokens, context: int, global_batch: int, seed: int) -> None:
        self._tokens, self._global_batch, self._seed = tokens, global_batch, seed
        self.context = context
        self._per_epoch = max(1, (len(tokens) - context) // context)
        self._epoch_order = lru_cache(maxsize=2)(self._shuffle_epoch)

    def rows(self, step: int, start: int, stop: int) -> tuple[Rows, Rows]:
        """Return inputs and targets [stop - start, context] of positions start..stop of the step's global batch."""
        first = step * self._global_batch
        starts = [self._first_token(number) for number in range(first + start, first + stop)]
        return _windows(self._tokens, starts, self.context)

    def correction(self, step: int) -> float:
        """Factor that turns the mean over all target slots of the global batch into the mean over real targets."""
        return 1.0

    def _first_token(self, number: int) -> int:
        epoch, position = divmod(number, self._per_epoch)
        offset, order = self._epoch_order(epoch)
        return offset + int(order[position]) * self.context

    def _shuffle_epoch(self, epoch: int) -> tuple[int, npt.NDArray[np.int64]]:
        random = np.random.Generator(np.random.PCG64([self._seed, epoch]))
        slack = len(self._tokens) - self._per_epoch * self.context
        return int(random.integers(0, slack)), random.permutation(self._per_epoch)


class ValidationBatches:
    """A fixed set of held-out sequences in whole global batches; rows with ignored targets fill the last batch."""

    def __init__(self, tokens: Tokens, context: int, global_batch: int) -> None:
        available = (len(tokens) - 1) // context
        count = max(1, min(available, VALIDATION_TOKENS // context))
        self._tokens, self._global_batch = tokens, global_batch
        self.context = context
        self._starts = [int(i) * context for i in np.linspace(0, available - 1, count)]
        self.batches = -(-count // global_batch)
        # Turns the mean over all slots into the mean over real tokens.
        self.correction = self.batches * global_batch / count

    def rows(self, batch: int, start: int, stop: int) -> tuple[Rows, Rows]:
        """Return inputs and targets of positions start..stop of a batch; padding rows have ignored targets."""
        numbers = range(batch * self._global_batch + start, batch * self._global_batch + stop)
        starts = [self._starts[number] if number < len(self._starts) else 0 for number in numbers]
        inputs, targets = _windows(self._tokens, starts, self.context)
        targets[[number >= len(self._starts) for number in numbers]] = IGNORED
        return inputs, targets


def _windows(tokens: Tokens, starts: list[int], context: int) -> tuple[Rows, Rows]:
    window = np.stack([tokens[start : start + context + 1] for start in starts]).astype(np.int64)
    return window[:, :-1], window[:, 1:].copy()
