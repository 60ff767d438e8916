"""Masked batches: some tokens are hidden, and those are what is predicted."""

from __future__ import annotations

import numpy as np

from engine.data.batches import Rows, TrainingBatches, ValidationBatches
from engine.data.order import random_of
from engine.data.specials import IGNORED, Specials

# BERT's shares (Devlin et al., arXiv 1810.04805, section 3.1): of the tokens that are predicted, 80 % become the mask,
# 10 % some other token, 10 % stay as they are.
PREDICTED, MASKED, REPLACED = 0.15, 0.8, 0.1
_PURPOSE = 1
_VALIDATION_SEED = 20_181_011  # the held-out masks are the same for every run, so that their losses compare


class MaskedTraining:
    """The sequences of next-token training, in the same order, with other tokens hidden each time one comes by."""

    def __init__(
        self, batches: TrainingBatches, global_batch: int, seed: int, vocab: int, special: Specials
    ) -> None:
        self._batches, self._global_batch, self._seed = batches, global_batch, seed
        self._vocab, self._special = vocab, special
        self._slots_per_target = _slots_per_target(batches.context)

    def rows(self, step: int, start: int, stop: int) -> tuple[Rows, Rows]:
        """Inputs [n, context] with hidden tokens, targets [n, context] that ignore all others."""
        ids, _ = self._batches.rows(step, start, stop)
        first = step * self._global_batch
        return _hidden(ids, range(first + start, first + stop), self._seed, self._vocab, self._special)

    def correction(self, step: int) -> float:
        return self._slots_per_target


class MaskedValidation:
    """The held-out sequences with the same tokens hidden every time."""

    def __init__(self, batches: ValidationBatches, global_batch: int, vocab: int, special: Specials) -> None:
        self._batches, self._global_batch = batches, global_batch
        self._vocab, self._special = vocab, special
        self.batches = batches.batches
        self.correction = batches.correction * _slots_per_target(batches.context)

    def rows(self, batch: int, start: int, stop: int) -> tuple[Rows, Rows]:
        ids, targets = self._batches.rows(batch, start, stop)
        numbers = range(batch * self._global_batch + start, batch * self._global_batch + stop)
        hidden, masked = _hidden(ids, numbers, _VALIDATION_SEED, self._vocab, self._special)
        masked[targets[:, 0] == IGNORED] = IGNORED  # rows that only fill up the last batch
        return hidden, masked


def _targets_per_row(context: int) -> int:
    return max(1, round(PREDICTED * context))


def _slots_per_target(context: int) -> float:
    return context / _targets_per_row(context)


def _hidden(ids: Rows, numbers: range, seed: int, vocab: int, special: Specials) -> tuple[Rows, Rows]:
    """Equally many tokens of each row are predicted, so every row weighs the same in every layout."""
    count = _targets_per_row(ids.shape[1])
    hidden, targets = ids.copy(), np.full_like(ids, IGNORED)
    for row, number in enumerate(numbers):
        random = random_of(seed, number, _PURPOSE)
        places = random.choice(ids.shape[1], count, replace=False)
        targets[row, places] = ids[row, places]
        fate = random.random(count)
        hidden[row, places[fate < MASKED]] = special.mask
        replaced = places[(fate >= MASKED) & (fate < MASKED + REPLACED)]
        hidden[row, replaced] = random.integers(0, vocab, len(replaced))
    return hidden, targets
