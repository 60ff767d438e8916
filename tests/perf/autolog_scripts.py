"""Training scripts that log through their libraries' own MLflow support.

    python autolog_scripts.py NAME

The bench runs them in the environment of the peers, with MLFLOW_TRACKING_URI and a token. Each prints its run's id.
"""

from __future__ import annotations

import sys
from collections.abc import Callable


def transformers() -> str:
    """Hugging Face's Trainer, whose own callback logs because mlflow is installed."""
    import mlflow
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=64, n_positions=16, n_embd=16, n_layer=1, n_head=1)
    rows = [{"input_ids": ids, "labels": ids} for ids in torch.randint(0, 64, (80, 16))]
    arguments = TrainingArguments(
        "out", max_steps=10, per_device_train_batch_size=8, logging_steps=1, report_to="mlflow", use_cpu=True,
        run_name="by transformers", save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    Trainer(GPT2LMHeadModel(config), arguments, train_dataset=rows).train()
    return mlflow.last_active_run().info.run_id


def torch() -> str:
    """A plain torch loop that writes for TensorBoard; `mlflow.pytorch.autolog` logs its scalars too."""
    import mlflow
    import torch
    from torch.utils.tensorboard import SummaryWriter

    mlflow.pytorch.autolog(log_every_n_step=1)  # it sends them when the interpreter ends
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 1)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    x = torch.randn(64, 4)
    y = x.sum(dim=1, keepdim=True)
    with mlflow.start_run(run_name="by torch") as run, SummaryWriter("board") as writer:
        for step in range(10):
            loss = torch.nn.functional.mse_loss(model(x), y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            writer.add_scalar("train/loss", loss.item(), step)
    return run.info.run_id


def sklearn() -> str:
    """`mlflow.sklearn.autolog`: parameters, scores, and the model as an artefact."""
    import mlflow
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    mlflow.sklearn.autolog()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    LogisticRegression(C=0.5).fit(x, x[:, 0] > 0)
    run_id = mlflow.last_active_run().info.run_id
    loaded = mlflow.sklearn.load_model(f"runs:/{run_id}/model")
    assert loaded.C == 0.5
    return run_id


LIBRARIES: dict[str, Callable[[], str]] = {"transformers": transformers, "torch": torch, "sklearn": sklearn}

if __name__ == "__main__":
    print("run:" + LIBRARIES[sys.argv[1]]())
