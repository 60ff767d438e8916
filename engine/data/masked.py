"""Batches for masked language modelling."""

from __future__ import annotations

import numpy as np

from engine.data.batches import Rows, TrainingBatches, ValidationBatches
from engine.data.order import build_generator
from engine.data.special_tokens import IGNORED, SpecialTokens

# As in BERT (Devlin et al., arXiv 1810.04805, section 3.1): of the predicted tokens, 80 % become the mask token,
# 10 % a random token, and 10 % do not change.
PREDICTED, MASKED, REPLACED = 0.15, 0.8, 0.1
_GENERATOR_PURPOSE = 1
_VALIDATION_SEED = 20_181_011  # every run masks the same held-out tokens, so validation losses are comparable


class MaskedTraining:
    """The sequences of next-token training in the same order; each pass masks other tokens."""

    def __init__(
        self, batches: TrainingBatches, global_batch: int, seed: int, vocab: int, special: SpecialTokens
    ) -> None:
        self._batches, self._global_batch, self._seed = batches, global_batch, seed
        self._vocab, self._special = vocab, special
        self._slots_per_target = _slots_per_target(batches.context)

    def rows(self, step: int, start: int, stop: int) -> tuple[Rows, Rows]:
        """Return inputs [n, context] with masked tokens and targets [n, context]; unmasked positions are ignored."""
        ids, _ = self._batches.rows(step, start, stop)
        first = step * self._global_batch
        return _mask_tokens(ids, range(first + start, first + stop), self._seed, self._vocab, self._special)

    def correction(self, step: int) -> float:
        return self._slots_per_target


class MaskedValidation:
    """The held-out sequences with the same tokens masked every time."""

    def __init__(
        self, batches: ValidationBatches, global_batch: int, vocab: int, special: SpecialTokens
    ) -> None:
        self._batches, self._global_batch = batches, global_batch
        self._vocab, self._special = vocab, special
        self.batches = batches.batches
        self.correction = batches.correction * _slots_per_target(batches.context)

    def rows(self, batch: int, start: int, stop: int) -> tuple[Rows, Rows]:
        ids, targets = self._batches.rows(batch, start, stop)
        numbers = range(batch * self._global_batch + start, batch * self._global_batch + stop)
        inputs, masked = _mask_tokens(ids, numbers, _VALIDATION_SEED, self._vocab, self._special)
        masked[targets[:, 0] == IGNORED] = IGNORED  # padding rows of the last batch
        return inputs, masked


def _targets_per_row(context: int) -> int:
    return max(1, round(PREDICTED * context))


def _slots_per_target(context: int) -> float:
    return context / _targets_per_row(context)


def _mask_tokens(
    ids: Rows, numbers: range, seed: int, vocab: int, special: SpecialTokens
) -> tuple[Rows, Rows]:
    """Mask the same number of tokens in each row, so that every row has the same weight in any layout."""
    count = _targets_per_row(ids.shape[1])
    inputs, targets = ids.copy(), np.full_like(ids, IGNORED)
    for row, number in enumerate(numbers):
        random = build_generator(seed, number, _GENERATOR_PURPOSE)
        positions = random.choice(ids.shape[1], count, replace=False)
        targets[row, positions] = ids[row, positions]
        draw = random.random(count)
        inputs[row, positions[draw < MASKED]] = special.mask
        replaced = positions[(draw >= MASKED) & (draw < MASKED + REPLACED)]
        inputs[row, replaced] = random.integers(0, vocab, len(replaced))
    return inputs, targets
