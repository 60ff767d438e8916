"""Roles of metrics by the words of their names, for runs that anything has logged."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple

Role = Literal["loss", "validation_loss", "score", "throughput", "other", "counter"]

LOSS = "loss"
VALIDATION_WORDS = frozenset(("val", "valid", "validation", "eval", "evaluation", "test", "dev", "holdout"))
# Words of a plain loss. Others make it a part of one, such as kl_loss, which counts where there is no plain one.
PLAIN_WORDS = frozenset(("train", "training", LOSS, "total", "step", "epoch", "lm", "mean", "avg"))
SCORE_WORDS = frozenset((
    "acc", "accuracy", "auc", "auroc", "bleu", "cer", "dice", "em", "error", "exact", "f1", "iou", "jaccard", "mae",
    "map", "mape", "mcc", "mse", "ndcg", "perplexity", "ppl", "precision", "psnr", "r2", "recall", "return", "rew",
    "reward", "rmse", "rouge", "score", "spearman", "ssim", "top", "wer",
))  # fmt: skip
COUNTER_WORDS = frozenset((
    "epoch", "epochs", "global", "iter", "iteration", "iterations", "runtime", "seed", "step", "steps", "time",
    "timestamp", "train", "eval",
))  # fmt: skip
SYSTEM_PREFIXES = ("system/", "system.", "_")
THROUGHPUT = re.compile(r"per_?s(ec(ond)?)?s?$|throughput|it/s|fps")
LOSS_WORDS = frozenset(("losses", "nll", "xent", "crossentropy"))
GLUED_WORDS = VALIDATION_WORDS | PLAIN_WORDS
WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


class MetricRole(NamedTuple):
    """`rank`: plainer names come first among those of one role."""

    role: Role
    rank: tuple[int, int, str]


def split_words(name: str) -> list[str]:
    """The words of a name in lower case: trainLoss, train_loss, trainloss and train/loss have the same."""
    found: list[str] = []
    for word in (word.lower() for word in WORDS.findall(name)):
        first, loss, rest = word.partition(LOSS)
        if loss and not rest and first in GLUED_WORDS:
            found += [first, LOSS]
        else:
            found.append(LOSS if word in LOSS_WORDS else word)
    return found


@lru_cache(maxsize=2**15)  # a page of a run with 20,000 metrics asks for each several times
def get_role(name: str) -> MetricRole:
    words = split_words(name)
    distinct = set(words)
    if {"cross", "entropy"} <= distinct:
        distinct = distinct - {"cross", "entropy"} | {LOSS}
    is_validation = bool(distinct & VALIDATION_WORDS)
    further = len(distinct - PLAIN_WORDS - VALIDATION_WORDS - SCORE_WORDS)
    rank = (further, len(words), name)
    if name.startswith(SYSTEM_PREFIXES):
        return MetricRole("counter", rank)
    if LOSS in distinct:
        return MetricRole("validation_loss" if is_validation else "loss", rank)
    if THROUGHPUT.search(name.lower()):
        return MetricRole("throughput", (int(is_validation), len(words), name))
    if distinct & SCORE_WORDS:
        return MetricRole("score", (further - is_validation, len(words), name))  # on held-out data first
    return MetricRole("counter" if distinct and distinct <= COUNTER_WORDS else "other", rank)
