"""Default metric columns of runs that anything may have logged."""

from __future__ import annotations

import random

import pytest

from jobs.runs.usual_metrics import LEAST, MOST, choose_by_coverage
from jobs.series.metric_roles import get_role

# What clients of other frameworks log, by the names of their own examples; the first two are loss and held-out loss.
CLIENTS = {
    "keras": ["loss", "val_loss", "accuracy", "val_accuracy"],
    "lightning": ["train_loss", "val_loss", "train_loss_step", "train_loss_epoch", "epoch", "lr-Adam"],
    "hf_trainer": ["train/loss", "eval/loss", "train/learning_rate", "train/grad_norm", "train/epoch", "eval/accuracy",
                   "eval/runtime", "eval/samples_per_second", "train/global_step"],
    "tensorboard": ["Loss/train", "Loss/test", "Accuracy/train", "Accuracy/test"],
    "fastai": ["train_loss", "valid_loss", "error_rate", "epoch"],
    "sb3": ["train/loss", None, "rollout/ep_rew_mean", "time/fps", "train/kl", "train/entropy_loss"],
    "yolo": ["train/box_loss", "val/box_loss", "metrics/mAP50(B)", "metrics/precision(B)", "lr/pg0"],
    "camel": ["trainLoss", "valLoss", "testAcc"],
    "fourwalls": ["loss", "validation_loss", "tokens_per_s", "grad_norm", "mfu_share"],
    "glued": ["trainloss", "valloss"], "names of losses": ["nll", "val/cross_entropy", "gloss"],
    "no loss": [None, None, "reward", "episode_length"],
}  # fmt: skip
SEED, CASES = 20261201, 300


@pytest.mark.parametrize("client", CLIENTS)
def test_the_losses_of_each_client_come_first(client: str):
    names = [name for name in CLIENTS[client] if name]
    chosen = choose_by_coverage(
        {name: {"a", "b"} for name in [*names, "system/cpu_utilization_percentage", "_step"]}
    )
    expected = [name for name in CLIENTS[client][:2] if name]
    assert chosen[: len(expected)] == expected
    assert not {"system/cpu_utilization_percentage", "_step", "epoch", "train/epoch"} & set(chosen)
    assert min(LEAST, len(names) - 2) <= len(chosen) <= MOST


def test_random_mixtures_have_no_empty_column_and_a_loss_of_nearly_every_run():
    """Runs of one to three clients with many other metrics."""
    rng = random.Random(SEED)
    for _ in range(CASES):
        clients = rng.sample(sorted(CLIENTS), rng.randint(1, 3))
        holders: dict[str, set[str]] = {}
        with_loss = set()
        for number in range(rng.randint(1, 24)):
            client = rng.choice(clients)
            noise = [f"layer_{rng.randrange(40)}/norm" for _ in range(rng.choice([0, 3, 30]))]
            for name in [name for name in CLIENTS[client] if name] + noise:
                holders.setdefault(name, set()).add(str(number))
            if CLIENTS[client][0]:
                with_loss.add(str(number))
        chosen = choose_by_coverage(holders)
        assert len(chosen) == len(set(chosen)) <= MOST
        assert all(holders[name] for name in chosen)
        losses = [name for name in chosen if get_role(name).role == "loss"]
        covered = set().union(*(holders[name] for name in losses))
        if len({CLIENTS[client][0] for client in clients}) <= 2:
            assert len(covered & with_loss) >= 0.8 * len(with_loss), (clients, chosen)
        assert not with_loss or get_role(chosen[0]).role == "loss"
