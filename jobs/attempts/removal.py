"""Removal of the folders of deleted attempts from a node's disk and from the shared checkpoints."""

from __future__ import annotations

import re
from pathlib import Path

from django.conf import settings

from jobs.attempts.retention import remove_folder
from jobs.models import FolderRemoval, Node
from jobs.nodes import folders

NAME = re.compile(r"[a-z0-9]{1,40}-[0-9]{1,9}")
REMOVALS_A_CALL = 20


def remove_wanted(node: Node, node_dir: Path) -> int:
    """Remove folders of attempts that were deleted for good. Called by the node's agent; returns how many are gone.

    A folder that a supervisor still holds stays, with the reason, until a later call.
    """
    wanted = FolderRemoval.objects.filter(node=node).order_by("id")[:REMOVALS_A_CALL]
    return sum(_remove(row, node_dir) for row in wanted)


def _remove(row: FolderRemoval, node_dir: Path) -> bool:
    if not NAME.fullmatch(row.name):
        return _keep(row, "This is not the name of an attempt's folder.")
    places = [
        (node_dir / folders.ATTEMPTS, node_dir / "tidied"),
        (node_dir / folders.COPIES, node_dir / "tidied"),
    ]
    if settings.CHECKPOINT_ROOT:
        root = Path(settings.CHECKPOINT_ROOT)
        places.append((root, root / ".tidied"))
    for home, trash in places:
        path = home / row.name
        if not path.is_dir() or path.is_symlink():
            continue
        try:
            remove_folder(path, trash)
            if path.exists():
                return _keep(row, f"A process still uses {path.name}.")
        except OSError as error:
            return _keep(row, f"{path.name} cannot be removed: {error.strerror}.")
    row.delete()
    return True


def _keep(row: FolderRemoval, problem: str) -> bool:
    if row.problem != problem:
        FolderRemoval.objects.filter(id=row.id).update(problem=problem[:300])
    return False
