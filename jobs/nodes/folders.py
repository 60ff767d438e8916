"""Folders of nodes: paths relative to them, and identities of shared roots.

Rows store paths below the folder of a node or below the root of shared checkpoints, so that a home that is moved keeps
everything. A shared root is known by an id in a file in it, so two disks at one path are not taken for one.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings

from jobs.models import Attempt, Node

ATTEMPTS = "attempts"
COPIES = "copies"  # checkpoints copied from other nodes
ROOT_ID = ".root-id"
# Facts of a node: its folder, the path of the shared root, the root's id ('': away), and the last id seen at that path
FOLDER, ROOT, ROOT_NOW, ROOT_SEEN = "folder", "checkpoint_root", "checkpoint_root_id", "checkpoint_root_seen"


def relative_path(path: Path, node_dir: Path) -> str:
    """Return the path below the node's folder or below the shared root; other paths are returned whole."""
    roots = [node_dir, *([Path(settings.CHECKPOINT_ROOT)] if settings.CHECKPOINT_ROOT else [])]
    for root in roots:
        for top in (root, root.resolve()):
            if path.is_relative_to(top):
                return path.relative_to(top).as_posix()
    return str(path)


def attempt_path(attempt: Attempt) -> str:
    """Return the path of the attempt's folder below the folder of a node."""
    return f"{ATTEMPTS}/{attempt.job_id}-{attempt.number}"


def find_here(node: Node, path: str) -> Path:
    """Return where a path of `node` lies on this machine; the first candidate if it is not here.

    The folder that this process uses comes first, then the one that the node's agent reported.
    """
    candidates = [Path(settings.NODE_DIR), *([Path(folder)] if (folder := node.facts.get(FOLDER)) else [])]
    return next((top / path for top in candidates if (top / path).exists()), candidates[0] / path)


def find_shared(node: Node, path: str) -> Path:
    """Return where a path below the shared root lies on this machine, as `find_here` does for the node's folder."""
    roots = [settings.CHECKPOINT_ROOT, node.facts.get(ROOT)]
    candidates = [Path(root) / path for root in roots if root] or [Path(settings.NODE_DIR) / path]
    return next((candidate for candidate in candidates if candidate.exists()), candidates[0])


def root_of(facts: Mapping[str, Any]) -> str:
    """Return what identifies a node's shared root; '' if it has none. An agent of an older version reports a path."""
    return str(facts.get(ROOT_NOW, facts.get(ROOT)) or "")


def read_root_id() -> str:
    """Return the id of the shared root; '' if none is set, or if it is away: its mount is missing, for example."""
    if not settings.CHECKPOINT_ROOT:
        return ""
    try:
        return (Path(settings.CHECKPOINT_ROOT) / ROOT_ID).read_text().strip()[:32]
    except OSError:
        return ""


def list_facts(node_dir: Path, before: Mapping[str, Any]) -> dict[str, str]:
    """Return the facts on this node's folders. `before`: its facts until now.

    The id of a shared root is created once. Where this node has seen one at the same path, a missing id means that the
    root is away: an empty mount point must not pass for the root.
    """
    root = str(settings.CHECKPOINT_ROOT or "")
    seen = str(before.get(ROOT_SEEN) or "") if before.get(ROOT) == root else ""
    now = read_root_id() or ("" if seen else _create_root_id(root))
    return {FOLDER: str(node_dir.resolve()), ROOT: root, ROOT_NOW: now, ROOT_SEEN: now or seen}


def _create_root_id(root: str) -> str:
    if not root:
        return ""
    scratch = Path(root) / f"{ROOT_ID}.{secrets.token_hex(4)}"
    try:
        scratch.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        scratch.write_text(secrets.token_hex(8))
        with contextlib.suppress(FileExistsError):  # another node was first
            os.link(scratch, Path(root) / ROOT_ID)
        scratch.unlink()
    except OSError:
        return ""
    return read_root_id()
