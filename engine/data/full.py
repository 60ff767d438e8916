"""Full batches: every step sees the whole training part."""

from __future__ import annotations

from typing import Any

from engine.data.batches import Rows
from engine.data.examples import Examples
from engine.data.prepare import Prepared
from engine.data.sources import Training
from engine.spec.problems import Problem, SpecError
from engine.spec.spec import Spec


class FullBatch:
    """The rows of the first step, at every step."""

    def __init__(self, source: Training) -> None:
        self._source = source

    def rows(self, step: int, start: int, stop: int) -> tuple[Any, Rows]:
        return self._source.rows(0, start, stop)

    def correction(self, step: int) -> float:
        return self._source.correction(0)


def with_full_batch(spec: Spec, prepared: Prepared) -> Spec:
    """The spec with a global batch of all that there is to train on, up to less than a micro-batch for each data rank.
    Raises SpecError where that is nothing."""
    count, unit = _count(spec, prepared), spec.batch.micro_batch_size * spec.parallel.data
    if count < unit:
        message = (
            f"The training part has {count:,} sequences, fewer than micro-batch x data parallel = {unit:,}; a "
            "micro-batch of 1 is the smallest."
        )
        raise SpecError([Problem("batch.micro_batch_size", message, {"batch.micro_batch_size": 1})])
    batch = spec.batch.model_copy(update={"global_batch_size": count // unit * unit})
    return spec.model_copy(update={"batch": batch})


def _count(spec: Spec, prepared: Prepared) -> int:
    if isinstance(prepared.train, Examples):
        return len(prepared.train)
    return max(1, (len(prepared.train) - spec.model.context) // spec.model.context)
