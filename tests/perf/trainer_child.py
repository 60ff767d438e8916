"""Hugging Face's Trainer as a competitor, in the peers' environment.

    python trainer_child.py FOLDER

FOLDER contains config.json of the model, rows.npy [N, S] and arguments.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy
import torch
from alternation_child import AlternationClient
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainingArguments,
)


class AlternationCallback(TrainerCallback):
    def __init__(self, alternation: AlternationClient) -> None:
        self._alternation = alternation

    def on_step_begin(self, args: Any, state: Any, control: TrainerControl, **_: Any) -> None:
        control.should_training_stop = self._alternation.before_step()


class Rows(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    def __init__(self, rows: Any) -> None:
        self._rows = torch.from_numpy(rows.astype("int64"))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self._rows[index], "labels": self._rows[index]}


def main() -> None:
    alternation, folder = AlternationClient(), Path(sys.argv[1])
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
    sys.stderr.write(f"{model.num_parameters():,} parameters\n")
    arguments = TrainingArguments(
        output_dir=str(folder / "out"), use_cpu=True, report_to="none", save_strategy="no", eval_strategy="no",
        logging_strategy="no", disable_tqdm=True, max_steps=1_000_000, lr_scheduler_type="cosine",
        **json.loads((folder / "arguments.json").read_text()),
    )  # fmt: skip
    rows = Rows(numpy.load(folder / "rows.npy"))
    Trainer(model, arguments, train_dataset=rows, callbacks=[AlternationCallback(alternation)]).train()


if __name__ == "__main__":
    main()
