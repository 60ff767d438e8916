"""Interfaces of training and validation data."""

from __future__ import annotations

from typing import Any, Protocol

from engine.data.batches import Rows


class TrainingData(Protocol):
    """Batches of the training part, a pure function of seed, step and position in any layout."""

    def rows(self, step: int, start: int, stop: int) -> tuple[Any, Rows]:
        """Return inputs and targets of positions start..stop of the step's global batch.

        Inputs are ids [n, context], or for an encoder-decoder two such arrays: the source, and the target as the
        decoder's input. Targets are [n, context], or [n] for classes; the loss leaves out IGNORED ones.
        """
        ...

    def correction(self, step: int) -> float:
        """Factor that turns the mean over all target slots of the global batch into the mean over real targets."""
        ...


class ValidationData(Protocol):
    """A fixed set of batches of the held-out part, in whole global batches."""

    batches: int
    correction: float  # turns the mean over all target slots of all batches into the mean over real targets

    def rows(self, batch: int, start: int, stop: int) -> tuple[Any, Rows]: ...
