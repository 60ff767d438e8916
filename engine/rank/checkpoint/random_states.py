"""Random states of a rank in a checkpoint."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.checkpoints.sharded_checkpoint import (
    CPU_RANDOM_STATE,
    RANDOM_STATE,
    RankOwnState,
    ShardedCheckpoint,
    rank_file_name,
)
from engine.rank.checkpoint.position import RankPosition
from engine.spec.spec import Spec


def read_random_states(engine: Any) -> dict[str, Tensor]:
    """Return the random states of this rank by device kind."""
    found = {"cpu": torch.get_rng_state()}
    if engine.device.type == "cuda":
        found["cuda"] = torch.cuda.get_rng_state()
    return found


def restore_random_states(
    engine: Any,
    checkpoint: ShardedCheckpoint,
    position: RankPosition,
    own: RankOwnState,
    spec: Spec,
    step: int,
    is_same: bool,
) -> None:
    """Restore the saved random states if the layout is the same; else set new ones, equal at every attempt.

    New states differ by stage and data rank, not by tensor rank, as at the start of a run.
    """
    if is_same:
        file = checkpoint.files[rank_file_name(position.rank)]
        torch.set_rng_state(torch.from_numpy(file.read(CPU_RANDOM_STATE)))
        if engine.device.type == "cuda" and f"{RANDOM_STATE}|cuda" in file.keys():  # noqa: SIM118
            torch.cuda.set_rng_state(torch.from_numpy(file.read(f"{RANDOM_STATE}|cuda")))
    else:
        mixed = np.random.SeedSequence([spec.seed, step, position.stage, position.data_rank]).generate_state(
            1, np.uint64
        )
        torch.manual_seed(int(mixed[0] >> np.uint64(1)))
    if hasattr(engine.module, "micro_offset"):
        is_saved = is_same and own.micro_offset is not None
        engine.module.micro_offset = own.micro_offset if is_saved else step * spec.accumulation
