"""Full-batch training: every step uses the whole training part."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.data.batches import IGNORED, Rows
from engine.data.objectives import build_training, count_sequences
from engine.data.prepare import PreparedData
from engine.data.sources import TrainingData
from engine.spec.spec import Spec


class FullBatch:
    """Every sequence of the training part once in each step; positions behind the last one have no target.

    So the loss is the mean over the same targets in every layout, whatever the ranks and the micro-batch are.
    """

    def __init__(self, source: TrainingData, num_sequences: int, num_positions: int) -> None:
        """`source` has global batches of `num_sequences`; all ranks together ask for `num_positions` of them."""
        self._source = source
        self._num_sequences = num_sequences
        self._padding = num_positions / num_sequences

    def rows(self, step: int, start: int, stop: int) -> tuple[Any, Rows]:
        last = self._num_sequences
        real = min(max(stop, start), last) - min(start, last)
        if real == stop - start:
            return self._source.rows(0, start, stop)
        first, (blank, ignored) = min(start, last), self._source.rows(0, 0, 1)
        missing = stop - start - real
        ignored = np.full_like(ignored, IGNORED)
        if not real:
            return _repeat(blank, missing), np.repeat(ignored, missing, axis=0)
        inputs, targets = self._source.rows(0, first, last)
        return _append(inputs, _repeat(blank, missing)), np.concatenate(
            [targets, np.repeat(ignored, missing, axis=0)]
        )

    def correction(self, step: int) -> float:
        return self._source.correction(0) * self._padding


def use_full_batch(spec: Spec, prepared: PreparedData) -> Spec:
    """Return the spec with the whole training part as global batch, rounded up to micro-batch x data parallel."""
    unit = spec.batch.micro_batch_size * spec.parallel.data
    return _with_global_batch(spec, -(-count_sequences(spec, prepared) // unit) * unit)


def build_full_batch(spec: Spec, prepared: PreparedData) -> FullBatch:
    """Build the batches of a spec from `use_full_batch`."""
    count = count_sequences(spec, prepared)
    source = build_training(_with_global_batch(spec, count), prepared)
    return FullBatch(source, count, spec.batch.global_batch_size)


def _with_global_batch(spec: Spec, size: int) -> Spec:
    return spec.model_copy(update={"batch": spec.batch.model_copy(update={"global_batch_size": size})})


def _repeat(inputs: Any, times: int) -> Any:
    if isinstance(inputs, tuple):
        return tuple(_repeat(one, times) for one in inputs)
    return np.repeat(inputs, times, axis=0)


def _append(inputs: Any, more: Any) -> Any:
    if isinstance(inputs, tuple):
        return tuple(_append(one, other) for one, other in zip(inputs, more, strict=True))
    return np.concatenate([inputs, more])
