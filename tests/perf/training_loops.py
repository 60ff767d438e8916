"""One rank of a competitor: our loop, a plain loop, or torch's DDP.

python -m tests.perf.training_loops NAME ATTEMPT
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import distributed, nn

from engine.data import objectives
from engine.data.prepare import prepare
from engine.directory import AttemptDirectory
from engine.rank.model.build import WholeModel
from engine.rank.model.loss import cross_entropy
from engine.rank.run.loop import train
from engine.rank.run.start import open_session
from engine.rank.train.optimisers import build_optimiser
from engine.rank.train.schedule import learning_rate
from tests.perf.alternation_child import AlternationClient


def main() -> None:
    name, directory = sys.argv[1], AttemptDirectory(Path(sys.argv[2]))
    torch.set_num_threads(1)
    alternation, rank = AlternationClient(), int(os.environ.get("RANK", 0))
    if name == "ours":
        train(open_session(directory, rank, time.perf_counter()), alternation.before_step)
    else:
        train_plain(directory, rank, alternation, with_ddp=name == "ddp")


def train_plain(
    directory: AttemptDirectory, rank: int, alternation: AlternationClient, with_ddp: bool
) -> None:
    """The same training without an engine: same layers, rows, optimiser, schedule and clipping."""
    spec, placement = directory.read_spec(), directory.read_placement()
    source = objectives.build_training(
        spec, prepare(spec.data, Path(placement.corpus_root), Path(placement.data_dir))
    )
    model: Any = WholeModel(spec)
    optimiser = build_optimiser(spec, model)
    if with_ddp:
        distributed.init_process_group("gloo")
        model = nn.parallel.DistributedDataParallel(model)
    size, count = spec.batch.micro_batch_size, spec.accumulation
    for number in itertools.count():
        if alternation.before_step():
            break
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(spec, number)
        optimiser.zero_grad()
        for micro in range(count):
            start = (rank * count + micro) * size
            ids, targets = source.rows(number, start, start + size)
            is_last = micro == count - 1
            with contextlib.nullcontext() if is_last or not with_ddp else model.no_sync():
                loss = cross_entropy(model(torch.from_numpy(ids)), torch.from_numpy(targets))
                (loss / count).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), spec.optimiser.gradient_clip)
        optimiser.step()


if __name__ == "__main__":
    main()
