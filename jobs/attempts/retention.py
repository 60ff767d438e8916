"""Clean-up of old attempts' folders, which hold logs and checkpoints.

Covers the folders on this machine, of every attempt that had ranks here, and the checkpoint folder shared by the nodes,
which any node may clean up.
"""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from engine.checkpoints.folder import is_held
from engine.directory import AttemptDirectory, find_newest_checkpoint
from engine.supervisor.locks import lock_folder
from jobs.attempts import checkpoints
from jobs.attempts.shared import shared_checkpoints
from jobs.models import Attempt, AttemptNode
from jobs.nodes.inventory import node_id
from jobs.states.jobs import ATTEMPT_LIVE

KEEP_ATTEMPTS = 3  # newest attempts of each job


@dataclass(frozen=True)
class CleanupResult:
    """Result of one clean-up. `removed`: name of the folder (job/number, marked if shared) -> size in bytes."""

    removed: dict[str, int]
    num_kept: int

    @property
    def freed_bytes(self) -> int:
        return sum(self.removed.values())


@dataclass(frozen=True)
class AttemptFolder:
    """Folder of one attempt, on this machine or among the shared checkpoints."""

    attempt: Attempt
    path: Path
    checkpoint: str  # name of the newest complete checkpoint in it; '': none
    is_shared: bool = False
    is_needed: bool = False  # a job will start from a checkpoint in it, or it holds the job's best one

    def __str__(self) -> str:
        return f"{self.attempt} (shared checkpoints)" if self.is_shared else str(self.attempt)


def clean_up(node_dir: Path, keep: int = KEEP_ATTEMPTS, dry_run: bool = False) -> CleanupResult:
    """Delete the folders of ended attempts. The newest `keep` of each job and the one with its newest checkpoint stay.

    Rows, series and events stay. Folders that no row names are left alone.
    """
    roots = [(node_dir / "tidied", list(_list_local(node_dir)))]
    if settings.CHECKPOINT_ROOT:
        roots.append((Path(settings.CHECKPOINT_ROOT) / ".tidied", list(_list_shared())))
    removed: dict[str, int] = {}
    for trash, folders in roots:
        shutil.rmtree(trash, ignore_errors=True)  # leftovers of an interrupted call
        for folder in _select_removable(folders, keep):
            size = _size_bytes(folder.path)
            if dry_run or remove_folder(folder.path, trash):
                removed[str(folder)] = size
    return CleanupResult(removed, sum(len(folders) for _, folders in roots) - len(removed))


def _list_local(node_dir: Path) -> Iterator[AttemptFolder]:
    """Yield the existing folders of all attempts that had ranks on this node."""
    node, home = node_id(node_dir), (node_dir / "attempts").resolve()
    alone = Attempt.objects.filter(node_id=node, num_nodes=1).exclude(directory="").select_related("job__run")
    gang_nodes = (
        AttemptNode.objects.filter(node_id=node).exclude(directory="").select_related("attempt__job__run")
    )
    rows = [(attempt, attempt.directory) for attempt in alone]
    rows += [(attempt_node.attempt, attempt_node.directory) for attempt_node in gang_nodes]
    for attempt, directory in rows:
        path = (node_dir / directory).resolve()
        if path.parent == home and path.is_dir():
            newest = AttemptDirectory(path).newest_checkpoint()
            needed = _is_needed(attempt, path / "checkpoints")
            yield AttemptFolder(attempt, path, newest.name if newest else "", is_needed=needed)


def _list_shared() -> Iterator[AttemptFolder]:
    names = {path.name for path in Path(settings.CHECKPOINT_ROOT).glob("*") if path.is_dir()}
    jobs = {name.rpartition("-")[0] for name in names}
    for attempt in Attempt.objects.filter(job__in=jobs).select_related("job__run"):
        path = shared_checkpoints(attempt)
        if path is not None and path.name in names:
            newest = find_newest_checkpoint(path)
            needed = _is_needed(attempt, path)
            yield AttemptFolder(
                attempt, path, newest.name if newest else "", is_shared=True, is_needed=needed
            )


def _is_needed(attempt: Attempt, folder: Path) -> bool:
    if any(is_held(path) for path in folder.glob("step-*")):
        return True
    keeps_best = attempt.job.spec.get("budget", {}).get("keep_best")
    best = checkpoints.best(attempt.job.run) if keeps_best else None
    return best is not None and best.attempt_id == attempt.id


def _select_removable(folders: Iterable[AttemptFolder], keep: int) -> list[AttemptFolder]:
    by_job: dict[str, list[AttemptFolder]] = defaultdict(list)
    for folder in folders:
        by_job[folder.attempt.job_id].append(folder)
    removable: list[AttemptFolder] = []
    for group in by_job.values():
        group.sort(key=lambda folder: folder.attempt.number)
        # Judged by the disk, which is what the next attempt reads.
        holder = max(group, key=lambda folder: (folder.checkpoint, folder.attempt.number))
        old = group[: max(0, len(group) - keep)]
        removable += [
            f
            for f in old
            if f.attempt.state not in ATTEMPT_LIVE
            and not f.is_needed
            and (f is not holder or not f.checkpoint)
        ]
    return removable


def remove_folder(path: Path, trash: Path) -> bool:
    """Delete a folder. Returns False if a supervisor still uses it or another node is deleting it.

    The folder is moved to `trash` first, so that no reader finds half a checkpoint.
    """
    try:
        lock = lock_folder(path)
        if lock is None:
            return False
        try:
            trash.mkdir(exist_ok=True, mode=0o700)
            os.rename(path, trash / path.name)
        finally:
            os.close(lock)
    except FileNotFoundError:
        return False
    shutil.rmtree(trash, ignore_errors=True)
    return True


def _size_bytes(path: Path) -> int:
    return sum(file.lstat().st_size for file in path.rglob("*") if file.is_file())
