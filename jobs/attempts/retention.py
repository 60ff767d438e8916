"""What stays of old attempts: their folders hold logs and checkpoints, which nothing else deletes.

Two places: what lies on this machine, of every attempt that had ranks here, and the folder of checkpoints that nodes
share, which any of them may tidy.
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
from engine.directory import AttemptDirectory, newest_in
from engine.supervisor.locks import hold_folder
from jobs.attempts import checkpoints
from jobs.attempts.shared import shared_checkpoints
from jobs.models import Attempt, AttemptNode
from jobs.nodes.inventory import node_id
from jobs.states.jobs import ATTEMPT_LIVE

KEEP_ATTEMPTS = 3  # newest attempts of each job


@dataclass(frozen=True)
class CleanupResult:
    """`removed` by attempt (job/number, of shared checkpoints with that word) -> bytes that its files took."""

    removed: dict[str, int]
    num_kept: int

    @property
    def freed_bytes(self) -> int:
        return sum(self.removed.values())


@dataclass(frozen=True)
class AttemptFolder:
    """What one attempt has left in one place."""

    attempt: Attempt
    path: Path
    checkpoint: str  # name of the newest complete one in it; '' without one
    is_shared: bool = False
    is_needed: bool = False  # a job will start from a checkpoint in it, or it holds its job's best

    def __str__(self) -> str:
        return f"{self.attempt} (shared checkpoints)" if self.is_shared else str(self.attempt)


def clean_up(node_dir: Path, keep: int = KEEP_ATTEMPTS, dry_run: bool = False) -> CleanupResult:
    """Delete the folders of attempts that have ended, but for the newest `keep` of each job and the one that holds its
    newest checkpoint. Rows, series and events stay. Folders that no row names are left alone."""
    places = [(node_dir / "tidied", list(_list_local(node_dir)))]
    if settings.CHECKPOINT_ROOT:
        places.append((Path(settings.CHECKPOINT_ROOT) / ".tidied", list(_list_shared())))
    removed: dict[str, int] = {}
    for aside, folders in places:
        shutil.rmtree(aside, ignore_errors=True)  # what an interrupted call left
        for folder in _select_removable(folders, keep):
            size = _size_bytes(folder.path)
            if dry_run or _remove(folder.path, aside):
                removed[str(folder)] = size
    return CleanupResult(removed, sum(len(folders) for _, folders in places) - len(removed))


def _list_local(node_dir: Path) -> Iterator[AttemptFolder]:
    """Of all attempts that had ranks on this node, and of which there is something left."""
    node, home = node_id(node_dir), (node_dir / "attempts").resolve()
    alone = Attempt.objects.filter(node_id=node, num_nodes=1).exclude(directory="").select_related("job__run")
    gang_nodes = (
        AttemptNode.objects.filter(node_id=node).exclude(directory="").select_related("attempt__job__run")
    )
    rows = [(attempt, attempt.directory) for attempt in alone]
    rows += [(attempt_node.attempt, attempt_node.directory) for attempt_node in gang_nodes]
    for attempt, directory in rows:
        path = Path(directory).resolve()
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
            newest = newest_in(path)
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
    of_job: dict[str, list[AttemptFolder]] = defaultdict(list)
    for folder in folders:
        of_job[folder.attempt.job_id].append(folder)
    found: list[AttemptFolder] = []
    for group in of_job.values():
        group.sort(key=lambda folder: folder.attempt.number)
        # By what lies on the disk: that is what the next attempt will look at.
        holder = max(group, key=lambda folder: (folder.checkpoint, folder.attempt.number))
        old = group[: max(0, len(group) - keep)]
        found += [
            f
            for f in old
            if f.attempt.state not in ATTEMPT_LIVE
            and not f.is_needed
            and (f is not holder or not f.checkpoint)
        ]
    return found


def _remove(path: Path, aside: Path) -> bool:
    """False: a supervisor still has the folder, or another node tidies it. It is moved away first, so that nobody
    finds half a checkpoint."""
    try:
        lock = hold_folder(path)
        if lock is None:
            return False
        try:
            aside.mkdir(exist_ok=True, mode=0o700)
            os.rename(path, aside / path.name)
        finally:
            os.close(lock)
    except FileNotFoundError:
        return False
    shutil.rmtree(aside, ignore_errors=True)
    return True


def _size_bytes(path: Path) -> int:
    return sum(file.lstat().st_size for file in path.rglob("*") if file.is_file())
