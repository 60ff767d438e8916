"""Units and goals that follow from the names of metrics."""

from __future__ import annotations

import random

import pytest

from engine.telemetry.metrics import METRICS
from jobs.runs.directions import get_goal
from jobs.series.metric_units import get_unit

UNITS = {
    "bytes": ("bytes",), "bytes_per_s": ("bytes_per_s", "bytes_per_second", "bytes/s"),
    "tokens_per_s": ("tokens_per_second", "tokens_per_sec", "tokens/s", "tokens/sec", "TokensPerSecond"),
    "per_s": ("samples_per_second", "it/s", "steps_per_sec", "images/sec"),
    "s": ("_seconds", "_s", "_secs", "StepSeconds"), "ms": ("_ms", "_milliseconds"), "us": ("_us",),
    "pct": ("_percent", "_pct", "UtilizationPercent"), "w": ("_watts", "power_w"), "j": ("_joules", "energy_j"),
    "gb": ("_gb", "_GB"), "mib": ("_MiB",), "celsius": ("_celsius", "gpu_temp_c"), "mhz": ("clock_mhz",),
    "": ("loss", "accuracy", "s", "ms", "w", "focus", "status", "top_k", "grad_norm", "min", "bleus", "params", "lr",
         "train/epochs", "class", "views", "model.layers.0.weight", "news", "ratio", "learning_rate", "", "/", "Ünï"),
}  # fmt: skip
CASES = [(end, unit) for unit, ends in UNITS.items() for end in ends]
PREFIXES = ("", "train/", "eval/", "gpu.0.", "System/", "a b/", "x:")
GOALS = {
    "low": ("loss", "train_loss", "trainLoss", "valLoss", "eval/loss", "val_perplexity", "RMSE", "error_rate", "wer"),
    "high": ("acc", "accuracy", "valAcc", "eval/F1", "test_auc", "reward", "mIoU/iou", "psnr", "tokens/s", "it/s",
             "samples_per_second", "eval_samples_per_second", "throughput", "ndcg@10"),
    "": ("glossary", "loss_scale", "scoreboard", "temperature", "grad_norm", "epoch", "reward_std", "loss_weight",
         "lr", "match_threshold", "learning_rate"),
}  # fmt: skip


@pytest.mark.parametrize("seed", range(200))
def test_the_end_of_a_name_gives_its_unit(seed: int):
    rng = random.Random(seed)
    end, unit = rng.choice(CASES)
    quantity = rng.choice(("memory", "step_time", "data/wait", "gpu0")) if end.startswith("_") else ""
    assert get_unit(rng.choice(PREFIXES) + quantity + end) == unit


def test_the_engines_own_metrics_keep_their_unit():
    assert all(get_unit(metric.name) == metric.unit for metric in METRICS)


@pytest.mark.parametrize(("goal", "name"), [(goal, name) for goal, names in GOALS.items() for name in names])
def test_the_words_of_a_name_give_its_goal(goal: str, name: str):
    for prefix in ("", "train/", "Model."):
        assert get_goal(prefix + name) == goal, prefix + name
