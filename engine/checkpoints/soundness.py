"""Soundness of a checkpoint: complete files, matching checksums, finite values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from engine.checkpoints.checksums import compute_file_checksum
from engine.checkpoints.folder import DamagedCheckpointError, read_manifest
from engine.checkpoints.sharded_checkpoint import (
    CPU_RANDOM_STATE,
    RANDOM_STATE,
    ShardedCheckpoint,
    rank_file_name,
)
from engine.checkpoints.tensors import TensorFile, TensorFileError
from engine.directory import checkpoint_step, find_checkpoints

CHUNK_VALUES = 2**20
UNCHECKED = (
    "The checkpoint {} has no checksums, since an older version wrote it: its files have the right sizes and no gaps, "
    "but changed values in them cannot be detected."
)


_Ranks = Annotated[int, msgspec.Meta(ge=1)]


class _Grid(msgspec.Struct):
    data: _Ranks
    stages: _Ranks
    tensor: _Ranks = 1


class _Layout(msgspec.Struct):
    """Fields of the entry `layout` that a resume reads."""

    model: dict[str, Any]
    parallel: _Grid
    dtype: str
    optimiser: str
    micro_batch_size: int


@dataclass(frozen=True)
class OpenCheckpoint:
    """A checkpoint whose files are complete, by their headers."""

    path: Path
    manifest: Mapping[str, Any]
    shards: ShardedCheckpoint

    @property
    def step(self) -> int:
        return int(self.manifest["step"])

    @property
    def has_checksums(self) -> bool:
        return "checksums" in self.manifest

    def verify(
        self, share: int = 0, shares: int = 1, report_progress: Callable[[], None] = lambda: None
    ) -> None:
        """Compare the checksums of every `shares`-th file, from the one numbered `share` on.

        Looks for values that are not finite instead in a checkpoint without checksums. Reads every byte of these files
        (measured: docs/decisions/checkpoints.md). Raises DamagedCheckpointError.
        """
        names = [*self.shards.files, *sorted(self.manifest["files"].keys() - self.shards.files.keys())]
        for name in names[share::shares]:
            self.verify_file(name, report_progress)

    def verify_file(self, name: str, report_progress: Callable[[], None] = lambda: None) -> None:
        """Verify one file. Raises DamagedCheckpointError, also for one that the manifest does not list."""
        try:
            if name not in self.manifest["files"]:
                raise TensorFileError(f"its manifest does not list {name}.")
            if self.has_checksums:
                saved = self.manifest["checksums"][name]
                found = compute_file_checksum(self.path / name, report_progress)
                if found != saved:
                    raise TensorFileError(
                        f"{name} has other content than was saved: checksum {found}, not {saved}."
                    )
            elif name in self.shards.files:
                _check_finite(self.shards.files[name], report_progress)
        except (TensorFileError, OSError) as error:
            raise _damaged(self.path, error) from None


def open_checkpoint(path: Path) -> OpenCheckpoint:
    """Open a checkpoint and check all that its manifest and the headers of its files show.

    Raises DamagedCheckpointError.
    """
    manifest = read_manifest(path)
    try:
        grid = msgspec.convert(manifest["layout"], _Layout).parallel
        shards = ShardedCheckpoint(
            path, _list_rank_files(manifest["files"], grid.data * grid.tensor * grid.stages)
        )
        for name, file in shards.files.items():
            if CPU_RANDOM_STATE not in file.keys():  # noqa: SIM118 - not a dictionary
                raise TensorFileError(f"{name} has no random state.")
        return OpenCheckpoint(path, manifest, shards)
    except (TensorFileError, msgspec.ValidationError, OSError, MemoryError) as error:
        raise _damaged(path, error) from None


def list_resume_points(resume_from: Path, older: tuple[str, ...] = ()) -> list[Path]:
    """Return the checkpoint, the older ones in its folder and the `older` ones of other folders, newest first.

    Each may be damaged.
    """
    step = checkpoint_step(resume_from.name)
    found = [] if step is None else find_checkpoints(resume_from.parent)
    candidates = {path: checkpoint_step(path.name) for path in (*found, *map(Path, older))}
    candidates.pop(resume_from, None)
    before = {
        path: at for path, at in candidates.items() if at is not None and step is not None and at <= step
    }
    return [resume_from, *sorted(before, key=lambda path: before[path], reverse=True)]


def _list_rank_files(listed: Mapping[str, int], num_ranks: int) -> list[str]:
    """Return the names of the files of all ranks. Raises TensorFileError unless exactly these are listed."""
    found = {name for name in listed if name.startswith("rank")}
    names = [rank_file_name(rank) for rank in range(min(num_ranks, len(found) + 1))]
    if missing := [name for name in names if name not in found]:
        raise TensorFileError(f"its manifest does not list {missing[0]}, one of {num_ranks} files of ranks.")
    if unknown := sorted(found.difference(names)):
        raise TensorFileError(f"its manifest lists {unknown[0]}, although {num_ranks} ranks wrote it.")
    return names


def _check_finite(file: TensorFile, report_progress: Callable[[], None]) -> None:
    """Raise TensorFileError if a value of a weight or of optimiser state is not finite."""
    for key in file.keys():  # noqa: SIM118 - not a dictionary
        if key.startswith(f"{RANDOM_STATE}|"):
            continue
        size = file.shape(key)[0]
        for start in range(0, size, CHUNK_VALUES):
            if not np.isfinite(file.read(key, start, min(size, start + CHUNK_VALUES))).all():
                raise TensorFileError(
                    f"{file.path.name} has values of {key.split('|')[1]} that are not finite."
                )
            report_progress()


def _damaged(path: Path, error: Exception) -> DamagedCheckpointError:
    reason = (getattr(error, "strerror", None) or str(error) or type(error).__name__).rstrip(".")
    return DamagedCheckpointError(f"The checkpoint {path.name} is damaged: {reason}.")
