"""Supervisors without a live attempt, and processes that dead ones left."""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path

import msgspec

from engine.directory import AttemptDirectory
from engine.supervisor.cleanup import kill_tagged
from fourwalls.system import procfs
from jobs.models import Attempt, AttemptNode, Node
from jobs.nodes import folders
from jobs.states.jobs import ATTEMPT_LIVE, ATTEMPT_NODE_LIVE

log = logging.getLogger(__name__)


def stop_strays(node: Node, node_dir: Path, ended: Collection[Path]) -> set[Path]:
    """Stop supervisors of attempts that are lost or superseded, and kill what dead supervisors left behind.

    `ended`: folders that need no look any more. Returns those that were found to have ended now.
    """
    found: set[Path] = set()
    for path in set((node_dir / folders.ATTEMPTS).glob("*")) - set(ended):
        directory = AttemptDirectory(path)
        try:
            state = directory.read_state()
        except (OSError, msgspec.MsgspecError) as error:
            log.warning("The state in %s cannot be read: %s", path, error)
            continue
        if state is None:
            continue
        if state.is_terminal:
            found.add(path)
        elif not procfs.is_alive(state.pid, state.pid_started):
            found.add(path)
            if killed := kill_tagged(str(path.resolve())):
                log.warning("Killed processes left by the dead supervisor in %s: %s", path, killed)
        elif not _has_live_attempt(node, folders.relative_path(path, node_dir)):
            log.warning("The supervisor in %s belongs to no live attempt and is stopped", path)
            directory.write_control("stop")
    return found


def _has_live_attempt(node: Node, directory: str) -> bool:
    alone = Attempt.objects.filter(node=node, directory=directory, state__in=ATTEMPT_LIVE, num_nodes=1)
    gang_nodes = AttemptNode.objects.filter(node=node, directory=directory, state__in=ATTEMPT_NODE_LIVE)
    return alone.exists() or gang_nodes.exists()
