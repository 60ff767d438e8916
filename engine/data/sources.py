"""What training asks of its data: rows by step and position, and what the loss over them is worth."""

from __future__ import annotations

from typing import Any, Protocol

from engine.data.batches import Rows


class Training(Protocol):
    """Batches of the training part. A pure function of seed, step and position: no layout changes it."""

    def rows(self, step: int, start: int, stop: int) -> tuple[Any, Rows]:
        """Inputs and targets of positions start..stop of the step's global batch. Inputs are an array of ids
        [n, context], or for an encoder-decoder two of them: the source, and the target as the decoder is given it.
        Targets are [n, context], or [n] for classes; IGNORED ones count for nothing."""
        ...

    def correction(self, step: int) -> float:
        """Mean over all slots of the step's global batch x this = mean over its real targets."""
        ...


class Validation(Protocol):
    """Batches of the held-out part, always the same, in whole global batches."""

    batches: int
    correction: float  # mean over all slots of all batches x this = mean over the real targets

    def rows(self, batch: int, start: int, stop: int) -> tuple[Any, Rows]: ...
