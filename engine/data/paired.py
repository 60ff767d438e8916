"""Batches of examples: a text and its class, or a text and the text it is to become."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.data.arrays import Tokens
from engine.data.batches import Rows
from engine.data.examples import Examples
from engine.data.order import Order
from engine.data.specials import IGNORED, PADDING, Specials

VALIDATION_EXAMPLES = 2048  # at most so many examples are judged, spread over the whole held-out part

Row = npt.NDArray[np.int64]

# Numbers of examples to inputs and targets; a negative number is a row that only fills up a batch.
Collate = Callable[[list[int]], tuple[Any, Rows]]


class ExampleTraining:
    """Examples in an order that no layout changes; each epoch shows every one once."""

    def __init__(
        self, collate: Collate, real_targets: Rows, slots: int, global_batch: int, seed: int
    ) -> None:
        """`real_targets` [examples]: how many targets of each are not ignored; `slots`: targets of a row."""
        self._collate, self._real, self._slots = collate, real_targets, slots
        self._global_batch, self._order = global_batch, Order(len(real_targets), seed)

    def rows(self, step: int, start: int, stop: int) -> tuple[Any, Rows]:
        """Inputs and targets of positions start..stop of the step's global batch."""
        return self._collate(self._numbers(step, start, stop))

    def correction(self, step: int) -> float:
        """Mean over all slots of the step's global batch x this = mean over its real targets."""
        numbers = self._numbers(step, 0, self._global_batch)
        return self._slots * self._global_batch / int(self._real[numbers].sum())

    def _numbers(self, step: int, start: int, stop: int) -> list[int]:
        first = step * self._global_batch
        return [self._order[number] for number in range(first + start, first + stop)]


class ExampleValidation:
    """The held-out examples, always the same, in whole global batches; the last is filled up with ignored rows."""

    def __init__(self, collate: Collate, real_targets: Rows, slots: int, global_batch: int) -> None:
        self._collate, self._global_batch = collate, global_batch
        self._numbers = spread(len(real_targets), VALIDATION_EXAMPLES)
        self.batches = -(-len(self._numbers) // global_batch)
        slots_in_all = self.batches * global_batch * slots
        self.correction = slots_in_all / max(1, int(real_targets[self._numbers].sum()))

    def rows(self, batch: int, start: int, stop: int) -> tuple[Any, Rows]:
        places = range(batch * self._global_batch + start, batch * self._global_batch + stop)
        return self._collate([self._numbers[one] if one < len(self._numbers) else -1 for one in places])


def spread(count: int, limit: int) -> list[int]:
    """At most `limit` numbers below `count`, at equal distances."""
    return [int(number) for number in np.linspace(0, count - 1, min(count, limit))]


def classes(examples: Examples, context: int, special: Specials) -> tuple[Collate, Rows, int]:
    """Inputs [n, context] = begin, text, end, padding; targets [n] = the class's number. With how many real targets
    each example has, and how many slots a row."""
    labels = examples.labels
    assert labels is not None

    def collate(numbers: list[int]) -> tuple[Rows, Rows]:
        ids = np.full((len(numbers), context), PADDING, np.int64)
        targets = np.full(len(numbers), IGNORED, np.int64)
        for row, number in enumerate(numbers):
            whole = _joined(special.begin, examples.sources[max(number, 0)][: context - 2], special.end)
            ids[row, : len(whole)] = whole
            if number >= 0:
                targets[row] = labels[number]
        return ids, targets

    return collate, np.ones(len(examples), np.int64), 1


def translations(examples: Examples, context: int, special: Specials) -> tuple[Collate, Rows, int]:
    """For an encoder-decoder. Inputs: sources [n, context] = text, end, padding, and what the decoder is given
    [n, context] = begin, target; targets [n, context] = target, end. Padding is ignored as a target."""
    sources, ends = examples.sources, examples.targets
    assert ends is not None

    def collate(numbers: list[int]) -> tuple[tuple[Rows, Rows], Rows]:
        source, given = (np.full((len(numbers), context), PADDING, np.int64) for _ in range(2))
        targets = np.full((len(numbers), context), IGNORED, np.int64)
        for row, number in enumerate(numbers):
            text = source_ids(sources[max(number, 0)], context, special)
            source[row, : len(text)] = text
            whole = _joined(special.begin, ends[max(number, 0)][:context], special.end)
            taken = min(len(whole) - 1, context)
            given[row, :taken] = whole[:taken]
            if number >= 0:
                targets[row, :taken] = whole[1 : taken + 1]
        return (source, given), targets

    return collate, np.minimum(ends.lengths + 1, context), context


def continuations(examples: Examples, context: int, special: Specials) -> tuple[Collate, Rows, int]:
    """For a decoder alone: source, separator, target, end in one sequence [n, context]; only the target's tokens are
    predicted. A target keeps half of the context before its source is cut to what is left. Behind the end
    stands the end: a decoder never looks ahead, so it needs no padding of its own."""
    sources, ends = examples.sources, examples.targets
    assert ends is not None

    def collate(numbers: list[int]) -> tuple[Rows, Rows]:
        ids = np.full((len(numbers), context), special.end, np.int64)
        targets = np.full((len(numbers), context), IGNORED, np.int64)
        for row, number in enumerate(numbers):
            answer = _joined(ends[max(number, 0)], special.end)
            prompt = prompt_ids(sources[max(number, 0)], len(answer), context, special)
            whole = _joined(prompt, answer)[: context + 1]
            ids[row, : len(whole) - 1] = whole[:-1]
            if number >= 0:
                targets[row, len(prompt) - 1 : len(whole) - 1] = whole[len(prompt) :]
        return ids, targets

    prompts = np.minimum(sources.lengths + 1, np.maximum(context - ends.lengths, context - context // 2))
    return collate, np.minimum(ends.lengths + 1, context + 1 - prompts), context


def source_ids(tokens: Tokens, context: int, special: Specials) -> Row:
    """What an encoder reads of a source: its tokens and the end, as many as fit."""
    return _joined(tokens[: context - 1], special.end)


def prompt_ids(tokens: Tokens, answer_length: int, context: int, special: Specials) -> Row:
    """What a decoder reads before it answers: the source and the separator, cut so that an answer of up to half of
    the context fits behind it."""
    room = max(context + 1 - answer_length, context - context // 2)
    return _joined(tokens[: room - 1], special.separator)


def _joined(*parts: Tokens | Row | int) -> Row:
    return np.concatenate([np.atleast_1d(np.asarray(part, np.int64)) for part in parts])
