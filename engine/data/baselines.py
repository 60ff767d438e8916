"""Baselines on held-out data: losses and accuracies without a trained model."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from engine.data.examples import Examples
from engine.data.prepare import PreparedData
from engine.spec.spec import Spec


def compute_baselines(spec: Spec, prepared: PreparedData) -> dict[str, float]:
    """Compute the metrics of two constant predictors on the validation part.

    `validation_loss` is that of predicting the training frequencies of tokens (or classes) everywhere.
    `token_accuracy_share` (for classes `accuracy_share`) is that of always predicting the most frequent one.
    """
    is_classes = spec.data.objective == "classes"
    size = spec.model.classes if is_classes else spec.vocab_size
    train, held_out = (
        _all_targets(part, prepared.specials.end) for part in (prepared.train, prepared.validation)
    )
    counts = np.bincount(train, minlength=size) + 1.0  # Laplace smoothing: no probability is 0
    loss = float(-np.log(counts / counts.sum())[held_out].mean())
    share = float((held_out == counts.argmax()).mean())
    return {"validation_loss": loss, "accuracy_share" if is_classes else "token_accuracy_share": share}


def _all_targets(part: object, end: int) -> npt.NDArray[np.int64]:
    """Return all targets of a part as one array."""
    if not isinstance(part, Examples):
        return np.asarray(part, np.int64)
    if part.labels is not None:
        return np.asarray(part.labels)
    if part.trained is not None:
        return np.asarray(part.sources.tokens[part.trained.tokens.astype(bool)], np.int64)
    assert part.targets is not None
    ends = np.full(len(part), end)
    return np.concatenate([part.targets.tokens.astype(np.int64), ends])


def bits_per_byte(loss: float, tokens: int, bytes_: int) -> float:
    """Convert a loss in nats per token to bits per byte of text, which compares across tokenizers."""
    return loss * tokens / bytes_ / math.log(2)
