"""Batches of examples: texts with classes, or pairs of texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.data.arrays import Tokens
from engine.data.batches import Rows
from engine.data.examples import Examples
from engine.data.order import Order
from engine.data.packing import Documents
from engine.data.special_tokens import IGNORED, PADDING, SpecialTokens

VALIDATION_EXAMPLES = 2048  # most examples to evaluate, spread evenly over the held-out part

TokenIds = npt.NDArray[np.int64]

# Builds inputs and targets from numbers of examples; a negative number stands for a padding row of a batch.
Collate = Callable[[list[int]], tuple[Any, Rows]]


class ExampleTraining:
    """Examples in an order that does not depend on the parallel layout; each epoch has every example once."""

    def __init__(
        self, collate: Collate, real_targets: Rows, slots: int, global_batch: int, seed: int
    ) -> None:
        """`real_targets` [examples] counts the targets that are not ignored; `slots` is the number per row."""
        self._collate, self._real_targets, self._slots = collate, real_targets, slots
        self._global_batch, self._order = global_batch, Order(len(real_targets), seed)

    def rows(self, step: int, start: int, stop: int) -> tuple[Any, Rows]:
        """Return inputs and targets of positions start..stop of the step's global batch."""
        return self._collate(self._numbers(step, start, stop))

    def correction(self, step: int) -> float:
        """Factor that turns the mean over all target slots of the global batch into the mean over real targets."""
        numbers = self._numbers(step, 0, self._global_batch)
        return self._slots * self._global_batch / max(1, int(self._real_targets[numbers].sum()))

    def _numbers(self, step: int, start: int, stop: int) -> list[int]:
        first = step * self._global_batch
        return [self._order[number] for number in range(first + start, first + stop)]


class ExampleValidation:
    """A fixed set of held-out examples in whole global batches; rows with ignored targets fill the last batch."""

    def __init__(self, collate: Collate, real_targets: Rows, slots: int, global_batch: int) -> None:
        self._collate, self._global_batch = collate, global_batch
        self._numbers = evenly_spaced(len(real_targets), VALIDATION_EXAMPLES)
        self.batches = -(-len(self._numbers) // global_batch)
        total_slots = self.batches * global_batch * slots
        self.correction = total_slots / max(1, int(real_targets[self._numbers].sum()))

    def rows(self, batch: int, start: int, stop: int) -> tuple[Any, Rows]:
        positions = range(batch * self._global_batch + start, batch * self._global_batch + stop)
        return self._collate([self._numbers[at] if at < len(self._numbers) else -1 for at in positions])


def evenly_spaced(count: int, limit: int) -> list[int]:
    """Return at most `limit` numbers below `count` at equal distances."""
    return [int(number) for number in np.linspace(0, count - 1, min(count, limit))]


def build_class_collate(
    examples: Examples, context: int, special: SpecialTokens
) -> tuple[Collate, Rows, int]:
    """Build the collate function of a classifier, the real targets per example, and the slots per row.

    Inputs [n, context] = begin, text, end, padding; targets [n] = number of the class.
    """
    labels = examples.labels
    assert labels is not None

    def collate(numbers: list[int]) -> tuple[Rows, Rows]:
        ids = np.full((len(numbers), context), PADDING, np.int64)
        targets = np.full(len(numbers), IGNORED, np.int64)
        for row, number in enumerate(numbers):
            whole = _concatenate(special.begin, examples.sources[max(number, 0)][: context - 2], special.end)
            ids[row, : len(whole)] = whole
            if number >= 0:
                targets[row] = labels[number]
        return ids, targets

    return collate, np.ones(len(examples), np.int64), 1


def build_translation_collate(
    examples: Examples, context: int, special: SpecialTokens
) -> tuple[Collate, Rows, int]:
    """Build the collate function of an encoder-decoder, the real targets per example, and the slots per row.

    Inputs: sources [n, context] = text, end, padding, and decoder inputs [n, context] = begin, target.
    Targets [n, context] = target, end; padding is ignored as a target.
    """
    sources, answers = examples.sources, examples.targets
    assert answers is not None

    def collate(numbers: list[int]) -> tuple[tuple[Rows, Rows], Rows]:
        source, decoder_input = (np.full((len(numbers), context), PADDING, np.int64) for _ in range(2))
        targets = np.full((len(numbers), context), IGNORED, np.int64)
        for row, number in enumerate(numbers):
            text = source_ids(sources[max(number, 0)], context, special)
            source[row, : len(text)] = text
            whole = _concatenate(special.begin, answers[max(number, 0)][:context], special.end)
            length = min(len(whole) - 1, context)
            decoder_input[row, :length] = whole[:length]
            if number >= 0:
                targets[row, :length] = whole[1 : length + 1]
        return (source, decoder_input), targets

    return collate, np.minimum(answers.lengths + 1, context), context


def build_document_collate(documents: Documents, context: int, filler: int) -> tuple[Collate, Rows, int]:
    """Build the collate function of a decoder-only model, the real targets per example, and the slots per row.

    Each row holds one document: input ids [n, context] and targets [n, context]. `filler` fills the rest of the row: a
    causal decoder never attends to later positions, so it needs no padding token.
    """

    def collate(numbers: list[int]) -> tuple[Rows, Rows]:
        ids = np.full((len(numbers), context), filler, np.int64)
        targets = np.full((len(numbers), context), IGNORED, np.int64)
        for row, number in enumerate(numbers):
            inputs, expected = documents[max(number, 0)]
            ids[row, : len(inputs)] = inputs
            if number >= 0:
                targets[row, : len(inputs)] = expected
        return ids, targets

    return collate, documents.real_targets, context


def source_ids(tokens: Tokens, context: int, special: SpecialTokens) -> TokenIds:
    """Return the encoder input of a source: its tokens and the end token, truncated to the context."""
    return _concatenate(tokens[: context - 1], special.end)


def prompt_ids(tokens: Tokens, answer_length: int, context: int, special: SpecialTokens) -> TokenIds:
    """Return the prompt of a decoder-only model: the source and the separator.

    The source is truncated so that an answer of up to half of the context fits after it.
    """
    limit = max(context + 1 - answer_length, context - context // 2)
    return _concatenate(tokens[: limit - 1], special.separator)


def _concatenate(*parts: Tokens | TokenIds | int) -> TokenIds:
    return np.concatenate([np.atleast_1d(np.asarray(part, np.int64)) for part in parts])
