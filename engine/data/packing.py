"""Packing: several documents in one sequence, none of which attends to another."""

from __future__ import annotations

import bisect
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from engine.data.batches import Rows
from engine.data.order import Order
from engine.data.sources import TrainingData, ValidationData
from engine.data.special_tokens import IGNORED

Document = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]  # input ids and targets, of one length


class PackedInputs(NamedTuple):
    """Ids [n, context], and the position of each within its document; every document begins at 0."""

    ids: Rows
    positions: Rows


class Documents(Protocol):
    """Documents of a part, each at most as long as the context."""

    lengths: npt.NDArray[np.int64]
    real_targets: npt.NDArray[np.int64]  # of each document: the targets that are not ignored

    def __getitem__(self, number: int) -> Document: ...


def pack(lengths: npt.NDArray[np.int64], context: int) -> list[list[int]]:
    """Assign documents to sequences of `context` tokens: the longest first, each where it leaves the least room.

    Best fit decreasing needs at most 11/9 of the fewest sequences, plus one (Johnson, 1974).
    """
    sequences: list[list[int]] = []
    rooms: list[int] = []  # sizes of the gaps, in order
    by_room: dict[int, list[int]] = {}  # size of a gap -> sequences
    for document in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[document])
        at = bisect.bisect_left(rooms, length)
        if at == len(rooms):
            number, room = len(sequences), context
            sequences.append([])
        else:
            room = rooms[at]
            number = by_room[room].pop()
            if not by_room[room]:
                del by_room[room], rooms[at]
        sequences[number].append(document)
        left = room - length
        if left > 0:
            if left not in by_room:
                bisect.insort(rooms, left)
            by_room.setdefault(left, []).append(number)
    return sequences


class _Sequences:
    """Packed sequences of a part, as rows."""

    def __init__(self, documents: Documents, context: int, filler: int) -> None:
        self._documents, self._context, self._filler = documents, context, filler
        self._packed = pack(documents.lengths, context)
        self.real_targets = np.array(
            [int(documents.real_targets[one].sum()) for one in self._packed], np.int64
        )

    def __len__(self) -> int:
        return len(self._packed)

    def rows(self, numbers: list[int]) -> tuple[PackedInputs, Rows]:
        """Return the sequences of these numbers; a negative number stands for a row without targets."""
        shape = len(numbers), self._context
        ids, targets = np.full(shape, self._filler, np.int64), np.full(shape, IGNORED, np.int64)
        positions = np.zeros(shape, np.int64)
        for row, number in enumerate(numbers):
            at = 0
            for document in self._packed[number] if number >= 0 else ():
                inputs, expected = self._documents[document]
                stop = at + len(inputs)
                ids[row, at:stop], targets[row, at:stop] = inputs, expected
                positions[row, at:stop] = np.arange(len(inputs))
                at = stop
            positions[row, at:] = np.arange(self._context - at)  # the tail is one more document
        return PackedInputs(ids, positions), targets


class PackedTraining:
    """Packed sequences in an order that does not depend on the parallel layout; each epoch has every one once."""

    def __init__(self, documents: Documents, context: int, filler: int, global_batch: int, seed: int) -> None:
        self._sequences, self._global_batch = _Sequences(documents, context, filler), global_batch
        self._order, self._slots = Order(len(self._sequences), seed), global_batch * context

    def rows(self, step: int, start: int, stop: int) -> tuple[PackedInputs, Rows]:
        return self._sequences.rows(self._numbers(step, start, stop))

    def correction(self, step: int) -> float:
        numbers = self._numbers(step, 0, self._global_batch)
        return self._slots / max(1, int(self._sequences.real_targets[numbers].sum()))

    def _numbers(self, step: int, start: int, stop: int) -> list[int]:
        first = step * self._global_batch
        return [self._order[number] for number in range(first + start, first + stop)]


class PackedValidation:
    """A fixed set of packed sequences in whole global batches."""

    def __init__(
        self,
        documents: Documents,
        context: int,
        filler: int,
        global_batch: int,
        choose: Callable[[int], list[int]],
    ) -> None:
        self._sequences, self._global_batch = _Sequences(documents, context, filler), global_batch
        self._numbers = choose(len(self._sequences))
        self.batches = -(-len(self._numbers) // global_batch)
        real = int(self._sequences.real_targets[self._numbers].sum())
        self.correction = self.batches * global_batch * context / max(1, real)

    def rows(self, batch: int, start: int, stop: int) -> tuple[PackedInputs, Rows]:
        first = batch * self._global_batch
        places = range(first + start, first + stop)
        return self._sequences.rows([self._numbers[at] if at < len(self._numbers) else -1 for at in places])


def split_window(ids: Rows, targets: Rows, end: int) -> tuple[PackedInputs, Rows]:
    """Make each document of a stretch of text a document of its own; `end` is the token that ends one.

    The first token of a document is no target, since nothing of its document comes before it.
    """
    is_end = ids == end
    starts = np.zeros_like(ids)
    columns = np.arange(ids.shape[1])
    starts[:, 1:] = np.where(is_end[:, :-1], columns[1:], 0)
    first = np.maximum.accumulate(starts, axis=1)
    return PackedInputs(ids, columns - first), np.where(is_end, IGNORED, targets)


class WindowTraining:
    """Stretches of text in their order, cut into documents."""

    def __init__(self, source: TrainingData, end: int, global_batch: int) -> None:
        self._source, self._end, self._global_batch = source, end, global_batch

    def rows(self, step: int, start: int, stop: int) -> tuple[PackedInputs, Rows]:
        return split_window(*self._source.rows(step, start, stop), self._end)

    def correction(self, step: int) -> float:
        _, targets = self.rows(step, 0, self._global_batch)
        return targets.size / max(1, int((targets != IGNORED).sum()))


class WindowValidation:
    """Held-out stretches of text, cut into documents."""

    def __init__(self, source: ValidationData, end: int, global_batch: int) -> None:
        self._source, self._end, self.batches = source, end, source.batches
        counts = [self.rows(batch, 0, global_batch)[1] != IGNORED for batch in range(self.batches)]
        real = sum(int(found.sum()) for found in counts)
        self.correction = sum(found.size for found in counts) / max(1, real)

    def rows(self, batch: int, start: int, stop: int) -> tuple[PackedInputs, Rows]:
        return split_window(*self._source.rows(batch, start, stop), self._end)
