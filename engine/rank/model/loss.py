"""The loss, for training and for judging on held-out rows."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from engine.data.batches import IGNORED


class Loss:
    """Logits and targets of a micro-batch -> its loss. Smoothed in training only, so that the validation loss is
    comparable between runs and its exponential is a perplexity.

    A pipeline's stages call the same object, so what differs from step to step is set here beforehand.
    """

    def __init__(self, smoothing: float) -> None:
        self._training_smoothing = smoothing
        self.training(1.0)

    def training(self, correction: float) -> None:
        self._smoothing, self._correction = self._training_smoothing, correction
        self._is_judging = False

    def judging(self, correction: float) -> None:
        self._smoothing, self._correction = 0.0, correction
        self.right: Tensor | float = 0.0  # targets that were the likeliest
        self.judged: Tensor | float = 0.0  # all real ones
        self._is_judging = True

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        loss = loss_of(logits, targets, self._smoothing)
        if self._is_judging:
            self.right = self.right + (logits.argmax(-1) == targets).sum()
            self.judged = self.judged + (targets != IGNORED).sum()
        return loss if self._correction == 1 else loss * self._correction


def loss_of(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy in nats of logits [B, S, V] against targets [B, S] ([B, C] against [B] for classes), summed over
    real targets and divided by all slots; a source's correction makes that the mean over the real ones of a whole
    global batch, however it is cut. Smoothing spreads that share of each target over all (arXiv 1512.00567, sec. 7)."""
    flat = logits.float().flatten(0, -2)
    total = F.cross_entropy(
        flat, targets.flatten(), ignore_index=IGNORED, reduction="sum", label_smoothing=smoothing
    )
    return total / targets.numel()
