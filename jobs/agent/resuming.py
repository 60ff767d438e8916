"""Checkpoint from which an attempt starts, copied from another node where needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.checkpoints.folder import MANIFEST
from jobs.attempts import checkpoints, locations, observations, transfers
from jobs.attempts.locations import FAILED, READY, Location
from jobs.lifecycle.resumption import NEWEST_FIRST, USABLE
from jobs.models import Attempt, Checkpoint, CheckpointCopy, Event, Node
from jobs.nodes import folders
from jobs.queue import initial_weights

OLDER_LIMIT = 10
CHECKS_LIMIT = 50  # damaged or lost checkpoints that are passed by in one start


class CheckpointPending(Exception):
    """The checkpoint is on its way to this node."""


class CheckpointAway(Exception):
    """The checkpoint cannot be had now; the job waits. The message gives the reason."""


class UnusableWeights(Exception):
    """The initial weights of a job are lost. The message gives the reason."""


@dataclass(frozen=True)
class Sources:
    """What an attempt starts from: a checkpoint of its own job, or initial weights, or neither."""

    resume_from: Path | None = None
    start_from: Path | None = None
    older: tuple[Path, ...] = ()  # taken in turn if the ranks find resume_from damaged, newest first


def find_sources(attempt: Attempt, node: Node, node_dir: Path, *, is_gang: bool = False) -> Sources:
    """Return what the attempt starts from, on this node's disk or, for a gang, in the shared root.

    A damaged or deleted checkpoint is passed by, with an event. Raises CheckpointPending, CheckpointAway,
    UnusableWeights.
    """
    observations.register_missing(attempt.job_id, attempt.number, node, node_dir)
    for _ in range(CHECKS_LIMIT):
        location = locations.locate_job(attempt.job_id)
        if location is None:
            return Sources(start_from=initial_weights.folder_for_job(attempt.job))
        if location.checkpoint is None:
            if location.is_start:
                title = initial_weights.title_for_job(attempt.job)
                raise UnusableWeights(f"{title} cannot be started from: its files are lost or damaged.")
            raise CheckpointAway("the checkpoints of the job are lost or damaged")
        if is_gang and not location.is_start and node.id != attempt.node_id:
            return Sources()  # the node of rank 0 finds the checkpoint for all
        path = _find_here(location.checkpoint, node, node_dir, is_gang and not location.is_start)
        if path is None:
            _request_copy(location, node)
        elif not (path / MANIFEST).is_file():
            _mark_unseen(location.checkpoint, node, node_dir)
        elif damage := checkpoints.find_damage(path):
            _mark_damaged(attempt, location.checkpoint, node, damage)
        else:
            if location.is_start:
                return Sources(start_from=path)
            older = _find_older(location.checkpoint, node, node_dir, is_gang)
            return Sources(path, _find_base(attempt, node, node_dir), older)
    raise CheckpointAway(f"{CHECKS_LIMIT} checkpoints in a row are lost or damaged")


def _find_base(attempt: Attempt, node: Node, node_dir: Path) -> Path | None:
    """Return the frozen weights of a resumed job with adapters, whose checkpoints hold the adapters alone; None for
    other jobs. Raises CheckpointPending, CheckpointAway."""
    if not (attempt.job.spec.get("adapter") or {}).get("rank"):
        return None
    start = attempt.job.start_checkpoint
    if start is None:
        return initial_weights.folder_for_job(attempt.job)
    path = _find_here(start, node, node_dir, False)
    if path is None or not (path / MANIFEST).is_file():
        _request_copy(locations.locate_checkpoint(start), node)
    return path


def _find_older(row: Checkpoint, node: Node, node_dir: Path, needs_shared: bool) -> tuple[Path, ...]:
    """Return the job's other usable checkpoints that lie here. Only ranks read every byte, so a flipped bit is found
    when the attempt has begun."""
    others = Checkpoint.objects.filter(USABLE, attempt__job_id=row.attempt.job_id).exclude(id=row.id)
    rows = others.select_related("attempt__node").order_by(*NEWEST_FIRST)[:OLDER_LIMIT]
    paths = (_find_here(one, node, node_dir, needs_shared) for one in rows)
    return tuple(path for path in paths if path is not None and (path / MANIFEST).is_file())


def _find_here(row: Checkpoint, node: Node, node_dir: Path, needs_shared: bool) -> Path | None:
    """Return where the checkpoint lies for this node; None if it must be copied."""
    root_id = node.facts.get(folders.ROOT_NOW) or folders.read_root_id()
    if row.is_shared:
        path = checkpoints.path_on_node(row.path, True, node_dir)
        if (row.root_id and row.root_id == root_id) or (path / MANIFEST).is_file():
            return path
    if not row.is_shared and row.attempt.node_id == node.id and not needs_shared:
        return node_dir / row.path
    for copy in CheckpointCopy.objects.filter(checkpoint=row, state=READY).order_by("id"):
        is_mine = copy.node_id == node.id and not copy.root_id and not needs_shared
        if is_mine or (copy.root_id and copy.root_id == root_id):
            return transfers.copy_path(copy, node_dir)
    return None


def _request_copy(location: Location, node: Node) -> None:
    """Request the checkpoint from a node that holds it. Always raises."""
    assert location.checkpoint is not None
    if not location.reachable:
        holder = location.holders[0]
        raise CheckpointAway(
            f"its checkpoint at step {location.step} lies on node {holder.name}, which {holder.away}"
        )
    before = CheckpointCopy.objects.filter(checkpoint=location.checkpoint, node=node).first()
    same = [holder for holder in location.reachable if before and holder.id == before.source_id]
    copy = transfers.request(location.checkpoint, (same or location.reachable)[0], node)
    if copy.state == FAILED:
        raise CheckpointAway(
            f"its checkpoint at step {location.step} could not be copied to node {node.name}: {copy.reason}"
        )
    raise CheckpointPending


def _mark_unseen(row: Checkpoint, node: Node, node_dir: Path) -> None:
    """Look at the disk now. Raises CheckpointAway if the row still counts as there."""
    observations.observe(node, node_dir)
    transfers.clean_up(node, node_dir)
    gone_at = Checkpoint.objects.values_list("gone_at", flat=True).get(id=row.id)
    is_copy = row.attempt.node_id != node.id and not row.is_shared
    if gone_at is None and not is_copy:
        raise CheckpointAway(f"node {node.name} does not see the checkpoint at step {row.step}: {row.path}")


def _mark_damaged(attempt: Attempt, row: Checkpoint, node: Node, damage: str) -> None:
    copy = CheckpointCopy.objects.filter(checkpoint=row, node=node).first()
    if copy is not None and row.attempt.node_id != node.id:
        copy.delete()  # the original may be sound
        return
    Checkpoint.objects.filter(id=row.id).update(damage=damage)
    text = f"The checkpoint at step {row.step} cannot be used; the one before it is used. {damage}"
    Event.objects.create(
        job_id=attempt.job_id, attempt_number=attempt.number, actor=f"agent:{node.name}", kind="note.warning",
        text=text,
    )  # fmt: skip
