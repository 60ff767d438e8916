"""What stays of old attempts on this machine: their folders hold logs and checkpoints, which nothing else deletes."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from engine.directory import AttemptDirectory
from engine.supervision.locks import hold_folder
from jobs.inventory import node_id
from jobs.models import Attempt
from jobs.states import ATTEMPT_LIVE

KEEP = 3  # newest attempts of each job


@dataclass(frozen=True)
class Tidied:
    """`removed` by attempt (job/number) -> bytes that its files took."""

    removed: dict[str, int]
    num_kept: int

    @property
    def freed_bytes(self) -> int:
        return sum(self.removed.values())


def tidy(node_dir: Path, keep: int = KEEP, dry_run: bool = False) -> Tidied:
    """Delete the folders of attempts that have ended, but for the newest `keep` of each job and the one that holds its
    newest checkpoint. Rows, series and events stay. Folders that no row of this node names are left alone."""
    aside = node_dir / "tidied"
    shutil.rmtree(aside, ignore_errors=True)  # what an interrupted call left
    removed: dict[str, int] = {}
    attempts = _attempts_with_folders(node_dir)
    for attempt in _superfluous(attempts, keep):
        path = Path(attempt.directory)
        size = _size_bytes(path)
        if dry_run or _remove(path, aside):
            removed[str(attempt)] = size
    return Tidied(removed, len(attempts) - len(removed))


def _attempts_with_folders(node_dir: Path) -> list[Attempt]:
    found = Attempt.objects.filter(node_id=node_id(node_dir)).exclude(directory="").order_by("job", "number")
    here = (node_dir / "attempts").resolve()
    folders = {path.resolve() for path in here.glob("*") if path.is_dir()}
    return [attempt for attempt in found if Path(attempt.directory).resolve() in folders]


def _superfluous(attempts: Iterable[Attempt], keep: int) -> list[Attempt]:
    of_job: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        of_job[attempt.job_id].append(attempt)
    found: list[Attempt] = []
    for group in of_job.values():
        holder = _holder_of_newest_checkpoint(group)
        old = group[: max(0, len(group) - keep)]
        found += [a for a in old if a.state not in ATTEMPT_LIVE and a is not holder]
    return found


def _holder_of_newest_checkpoint(attempts: Iterable[Attempt]) -> Attempt | None:
    """By what lies on the disk: that is what the next attempt will look at."""
    newest = {
        attempt: path.name
        for attempt in attempts
        if (path := AttemptDirectory(attempt.directory).newest_checkpoint())
    }
    return max(newest, key=lambda attempt: (newest[attempt], attempt.number), default=None)


def _remove(path: Path, aside: Path) -> bool:
    """False: a supervisor still has the folder. It is moved away first, so that nobody finds half a checkpoint."""
    lock = hold_folder(path)
    if lock is None:
        return False
    try:
        aside.mkdir(exist_ok=True, mode=0o700)
        os.rename(path, aside / path.name)
    finally:
        os.close(lock)
    shutil.rmtree(aside)
    return True


def _size_bytes(path: Path) -> int:
    return sum(file.lstat().st_size for file in path.rglob("*") if file.is_file())
