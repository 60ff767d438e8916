"""What a model must beat on its held-out data: losses and accuracies that take no learning."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from engine.data.examples import Examples
from engine.data.prepare import Prepared
from engine.data.specials import specials
from engine.spec.spec import Spec


def of(spec: Spec, prepared: Prepared) -> dict[str, float]:
    """`validation_loss` of always predicting the frequencies of training (unigrams, or classes), and for classes the
    `accuracy_share` of always saying the most frequent one; for tokens the same as `token_accuracy_share`."""
    is_classes = spec.data.objective == "classes"
    size = spec.model.classes if is_classes else spec.vocab_size
    train, held_out = (_targets(part, spec) for part in (prepared.train, prepared.validation))
    counts = np.bincount(train, minlength=size) + 1.0  # nothing is impossible (Laplace)
    loss = float(-np.log(counts / counts.sum())[held_out].mean())
    share = float((held_out == counts.argmax()).mean())
    return {"validation_loss": loss, "accuracy_share" if is_classes else "token_accuracy_share": share}


def _targets(part: object, spec: Spec) -> npt.NDArray[np.int64]:
    """Every target of a part in one array."""
    if not isinstance(part, Examples):
        return np.asarray(part, np.int64)
    if part.labels is not None:
        return np.asarray(part.labels)
    assert part.targets is not None
    ends = np.full(len(part), specials(spec.data.tokenizer).end)
    return np.concatenate([part.targets.tokens.astype(np.int64), ends])


def bits_per_byte(loss: float, tokens: int, bytes_: int) -> float:
    """A loss in nats per token, over the bytes that those tokens stand for: comparable between tokenizers."""
    return loss * tokens / bytes_ / math.log(2)
