"""Better direction of a field, derived from the words in a metric's name."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Literal

from jobs.runs.fields import Field

Direction = Literal["low", "high", ""]  # '': unknown

LOWER = ("loss", "error", "err", "perplexity", "ppl", "mae", "mape", "mse", "rmse", "wer", "cer", "fid", "latency",
         "step_s", "step_time", "iter_time", "iteration_time", "time_per_step", "bits_per_byte")  # fmt: skip
HIGHER = ("acc", "acc1", "acc5", "accuracy", "f1", "auc", "auroc", "bleu", "rouge", "score", "mfu", "tokens_per_s",
          "flops_per_s", "throughput", "reward", "rew", "return", "precision", "recall", "match", "iou", "dice", "map",
          "mcc", "ndcg", "psnr", "ssim", "r2", "spearman", "top1", "top5", "goodput")  # fmt: skip
# A rate is better high, whatever it counts.
RATE = (
    "(tokens?|samples?|steps?|images?|examples?|batch(es)?|it|iter|iterations?|frames?|rows?|seq|sequences)"
    "_per_s(ec(ond)?s?)?"
)
# Words after which a name is no longer the quantity itself, as in loss_scale and reward_std.
NEITHER = re.compile(
    r"_(scale|weight|weights|coef|coeff|coefficient|std|stddev|var|variance|count|threshold|schedule)$"
)
LOWER_IS_BETTER, HIGHER_IS_BETTER = (
    re.compile(rf"(^|_)({'|'.join(words)})(_|$)") for words in (LOWER, (*HIGHER, RATE))
)
CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
PER_SECOND = re.compile(r"/s(ec(onds?)?)?$")


def better_direction(field: Field) -> Direction:
    """Whether low or high values of a metric are better; '' for other fields and unknown names."""
    if field.kind != "metric":
        return ""
    return get_goal(field.key)


@lru_cache(maxsize=2**15)
def get_goal(name: str) -> Direction:
    """Whether low or high values are better, by the words of a metric's name; trainLoss has those of train/loss."""
    text = re.sub(r"[^a-z0-9]+", "_", CAMEL.sub("_", PER_SECOND.sub("_per_s", name)).lower()).strip("_")
    if NEITHER.search(text):
        return ""
    return "low" if LOWER_IS_BETTER.search(text) else "high" if HIGHER_IS_BETTER.search(text) else ""


def best_value(direction: str, values: Iterable[Any]) -> float | None:
    """Return the best finite number; None for an unknown direction, or where fewer than two values differ."""
    finite = [value for value in values if isinstance(value, int | float) and math.isfinite(value)]
    if not direction or len(finite) < 2 or min(finite) == max(finite):
        return None
    return min(finite) if direction == "low" else max(finite)
