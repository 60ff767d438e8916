"""Better direction of a field, derived from the words in a metric's name."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any, Literal

from jobs.runs.fields import Field

Direction = Literal["low", "high", ""]  # '': unknown

LOWER = ("loss", "error", "err", "perplexity", "ppl", "mae", "mse", "rmse", "wer", "cer", "latency", "step_s",
         "bits_per_byte")  # fmt: skip
HIGHER = ("acc", "accuracy", "f1", "auc", "bleu", "rouge", "score", "mfu", "tokens_per_s", "flops_per_s",
          "throughput", "reward", "precision", "recall", "match")  # fmt: skip
LOWER_IS_BETTER, HIGHER_IS_BETTER = (
    re.compile(rf"(^|[^a-z])({'|'.join(words)})([^a-z]|$)") for words in (LOWER, HIGHER)
)


def better_direction(field: Field) -> Direction:
    """Whether low or high values of a metric are better; '' for other fields and unknown names."""
    if field.kind != "metric":
        return ""
    name = field.key.lower()
    return "low" if LOWER_IS_BETTER.search(name) else "high" if HIGHER_IS_BETTER.search(name) else ""


def best_value(direction: str, values: Iterable[Any]) -> float | None:
    """Return the best finite number; None for an unknown direction, or where fewer than two values differ."""
    finite = [value for value in values if isinstance(value, int | float) and math.isfinite(value)]
    if not direction or len(finite) < 2 or min(finite) == max(finite):
        return None
    return min(finite) if direction == "low" else max(finite)
