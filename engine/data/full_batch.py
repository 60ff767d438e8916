"""Full-batch training: every step uses the whole training part."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from engine.data.batches import IGNORED, Rows
from engine.data.examples import Examples
from engine.data.prepare import PreparedData
from engine.data.sources import TrainingData
from engine.spec.spec import Spec

COUNTED_AT_ONCE = 256  # rows


class FullBatch:
    """Repeats the rows of the first step at every step: each sequence once, then rows with ignored targets, which fill
    the last micro-batches of the layout."""

    def __init__(self, source: TrainingData, count: int, global_batch: int) -> None:
        self._source, self._count, self._global_batch = source, count, global_batch

    def rows(self, step: int, start: int, stop: int) -> tuple[Any, Rows]:
        inputs, targets = self._source.rows(0, start, stop)
        targets[max(0, self._count - start) :] = IGNORED
        return inputs, targets

    def correction(self, step: int) -> float:
        return self._correction

    @cached_property
    def _correction(self) -> float:
        real, slots = 0, 1
        for start in range(0, self._count, COUNTED_AT_ONCE):
            _, targets = self._source.rows(0, start, min(self._count, start + COUNTED_AT_ONCE))
            real += int((targets != IGNORED).sum())
            slots = targets[0].size
        return self._global_batch * slots / max(1, real)


def use_full_batch(spec: Spec, prepared: PreparedData) -> Spec:
    """Return the spec with a global batch that holds the whole training part in whole micro-batches of each rank."""
    unit = spec.batch.micro_batch_size * spec.parallel.data
    whole = -(-count_sequences(spec, prepared) // unit) * unit
    return spec.model_copy(update={"batch": spec.batch.model_copy(update={"global_batch_size": whole})})


def count_sequences(spec: Spec, prepared: PreparedData) -> int:
    """Count the sequences of the training part that an epoch uses."""
    if isinstance(prepared.train, Examples):
        return len(prepared.train)
    return max(1, (len(prepared.train) - spec.model.context) // spec.model.context)
