"""Choice of the checkpoint to load: the newest one that every rank finds sound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import distributed

from engine.checkpoints.folder import DamagedCheckpointError, ResumeError
from engine.checkpoints.soundness import UNCHECKED, OpenCheckpoint, open_checkpoint

Note = Callable[[str, str], None]  # text and level


def choose_checkpoint(
    candidates: Sequence[Path], note: Note, report_progress: Callable[[], None] = lambda: None
) -> OpenCheckpoint:
    """Return the first candidate that is sound. Collective: each rank reads its share of the files.

    `note` receives why any was refused. Raises ResumeError on every rank if none is sound: a run never starts from
    the beginning because of damaged files.
    """
    rank, num_ranks = _rank_and_size()
    refused: list[str] = []
    for path in _candidates_of_rank_0(candidates):
        checkpoint, reason = _open_and_verify(path, rank, num_ranks, report_progress)
        reasons = [found for found in _gather(reason) if found]
        if checkpoint is not None and not reasons:
            if refused:
                note(f"{' '.join(refused)} Continuing from {path.name} instead.", "warning")
            if not checkpoint.has_checksums:
                note(UNCHECKED.format(path.name), "warning")
            return checkpoint
        refused += reasons[:1]
    none_left = "There is no older one to continue from." if len(refused) == 1 else "No older one is left."
    raise ResumeError(
        f"{' '.join(refused)} {none_left} To begin again from step 0, start a new run; to keep the weights of another "
        "checkpoint, use start_from."
    )


def _open_and_verify(
    path: Path, rank: int, num_ranks: int, report_progress: Callable[[], None]
) -> tuple[OpenCheckpoint | None, str]:
    """Return the checkpoint, or None and why this rank refuses it."""
    try:
        checkpoint = open_checkpoint(path)
        checkpoint.verify(rank, num_ranks, report_progress)
    except DamagedCheckpointError as error:
        return None, str(error)
    return checkpoint, ""


def _rank_and_size() -> tuple[int, int]:
    if not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def _candidates_of_rank_0(candidates: Sequence[Path]) -> list[Path]:
    """Return rank 0's list on every rank: another node may list a shared folder a moment later."""
    if _rank_and_size()[1] == 1:
        return list(candidates)
    found: list[Any] = [[str(path) for path in candidates]]
    distributed.broadcast_object_list(found, src=0)
    return [Path(text) for text in found[0]]


def _gather(reason: str) -> list[str]:
    """Return the reasons of all ranks, the same list on each."""
    if _rank_and_size()[1] == 1:
        return [reason]
    gathered: list[Any] = [None] * _rank_and_size()[1]
    distributed.all_gather_object(gathered, reason)
    return gathered
