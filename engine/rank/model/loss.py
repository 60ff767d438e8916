"""Loss for training and validation."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from engine.data.batches import IGNORED


class Loss:
    """Loss of a micro-batch from logits and targets.

    Labels are smoothed in training only, so that validation losses are comparable between runs and their exponential
    is a perplexity. All stages of a pipeline call the same object, so the settings of a step are set in advance.
    """

    def __init__(self, smoothing: float) -> None:
        self._training_smoothing = smoothing
        self.set_training(1.0)

    def set_training(self, correction: float) -> None:
        """Use the loss of training with this correction (engine.data.sources)."""
        self._smoothing, self._correction = self._training_smoothing, correction
        self._is_evaluation = False

    def set_evaluation(self, correction: float) -> None:
        """Use the loss of validation with this correction and reset the counts of correct targets."""
        self._smoothing, self._correction = 0.0, correction
        self.num_correct: Tensor | float = 0.0  # targets with the highest logit
        self.num_targets: Tensor | float = 0.0  # targets that are not ignored
        self._is_evaluation = True

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        loss = cross_entropy(logits, targets, self._smoothing)
        if self._is_evaluation:
            self.num_correct = self.num_correct + (logits.argmax(-1) == targets).sum()
            self.num_targets = self.num_targets + (targets != IGNORED).sum()
        return loss if self._correction == 1 else loss * self._correction


def cross_entropy(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return the cross-entropy in nats of logits [B, S, V] and targets [B, S] (for classes [B, C] and [B]).

    The sum over real targets is divided by the number of all target slots. Multiplied by the correction of its data
    source this is the mean over the real targets of the global batch, in any layout.
    Label smoothing: arXiv 1512.00567, sec. 7.
    """
    flat = logits.float().flatten(0, -2)
    total = F.cross_entropy(
        flat, targets.flatten(), ignore_index=IGNORED, reduction="sum", label_smoothing=smoothing
    )
    return total / targets.numel()
