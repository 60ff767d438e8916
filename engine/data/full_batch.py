"""Full-batch training: every step uses the whole training part."""

from __future__ import annotations

from typing import Any

from engine.data.batches import Rows
from engine.data.examples import Examples
from engine.data.prepare import PreparedData
from engine.data.sources import TrainingData
from engine.spec.problems import Problem, SpecError
from engine.spec.spec import Spec


class FullBatch:
    """Repeats the rows of the first step at every step."""

    def __init__(self, source: TrainingData) -> None:
        self._source = source

    def rows(self, step: int, start: int, stop: int) -> tuple[Any, Rows]:
        return self._source.rows(0, start, stop)

    def correction(self, step: int) -> float:
        return self._source.correction(0)


def use_full_batch(spec: Spec, prepared: PreparedData) -> Spec:
    """Return the spec with its global batch size set to the whole training part.

    The size is rounded down to a multiple of micro-batch x data parallel. Raises SpecError if that is 0.
    """
    count, unit = _count_sequences(spec, prepared), spec.batch.micro_batch_size * spec.parallel.data
    if count < unit:
        message = (
            f"The training part has {count:,} sequences, fewer than micro-batch x data parallel = {unit:,}. "
            "Reduce the micro-batch; the smallest is 1."
        )
        raise SpecError([Problem("batch.micro_batch_size", message, {"batch.micro_batch_size": 1})])
    batch = spec.batch.model_copy(update={"global_batch_size": count // unit * unit})
    return spec.model_copy(update={"batch": batch})


def _count_sequences(spec: Spec, prepared: PreparedData) -> int:
    if isinstance(prepared.train, Examples):
        return len(prepared.train)
    return max(1, (len(prepared.train) - spec.model.context) // spec.model.context)
