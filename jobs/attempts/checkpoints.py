"""Checkpoints of runs: recording, lookup, and holds for jobs that start from them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import F, QuerySet
from django.utils import timezone

from engine.checkpoints import folder
from engine.checkpoints.folder import MANIFEST, ResumeError
from engine.directory import AttemptDirectory
from jobs.models import Attempt, Checkpoint, Job, Node, Run
from jobs.states.jobs import FINAL

SavedCheckpoint = tuple[str, int, float, float | None]  # folder, step, unix time, validation loss


def record(attempt: Attempt, directory: AttemptDirectory, found: Iterable[SavedCheckpoint]) -> None:
    """Record saved checkpoints of an attempt, and mark those that were deleted. Runs on the attempt's node."""
    home = directory.checkpoints.resolve()
    for name, step, at, loss in found:
        path = home / Path(name).name
        values: dict[str, Any] = {
            "run": attempt.job.run, "path": str(path), "is_shared": bool(settings.CHECKPOINT_ROOT),
            "size_bytes": _size_bytes(path), "validation_loss": loss,
            "saved_at": datetime.fromtimestamp(at, UTC), "gone_at": None,
        }  # fmt: skip
        Checkpoint.objects.update_or_create(attempt=attempt, step=step, defaults=values)
    mark_gone(Checkpoint.objects.filter(attempt=attempt))


def mark_gone(rows: QuerySet[Checkpoint]) -> None:
    """Mark those of `rows` whose folders are not complete any more. Runs on the machine that stores them."""
    present = rows.filter(gone_at=None).values_list("id", "path")
    gone = [pk for pk, path in present if not (Path(path) / MANIFEST).exists()]
    if gone:
        Checkpoint.objects.filter(id__in=gone).update(gone_at=timezone.now())


def list_checkpoints(run: Run) -> QuerySet[Checkpoint]:
    """Return the run's existing checkpoints, newest first."""
    return Checkpoint.objects.filter(run=run, gone_at=None).select_related("attempt__node", "run")


def newest(run: Run) -> Checkpoint | None:
    return list_checkpoints(run).first()


def best(run: Run) -> Checkpoint | None:
    """Return the checkpoint with the lowest validation loss; among equals the one with the lowest step."""
    return list_checkpoints(run).exclude(validation_loss=None).order_by("validation_loss", "step").first()


def at_step(run: Run, step: int) -> Checkpoint | None:
    return list_checkpoints(run).filter(step=step).first()


def get_local_path(checkpoint: Checkpoint) -> Path | None:
    """Return the checkpoint's folder if this machine can read it; None if it is on another machine."""
    path = Path(checkpoint.path)
    return path if (path / MANIFEST).is_file() else None


def hold(job: Job) -> None:
    """Protect the checkpoint that a job starts from against pruning.

    If this machine cannot read it, the agent of its node protects it within seconds (`reconcile`). Raises ResumeError
    if it has just been deleted.
    """
    path = get_local_path(job.start_checkpoint) if job.start_checkpoint else None
    if path is not None:
        folder.hold(path, job.id)


def reconcile(node: Node) -> None:
    """Update the holds on this node's checkpoints, and mark those that were deleted. Called by the node's agent.

    Checkpoints from which waiting and running jobs start are held; those of ended jobs are released.
    """
    mark_gone(Checkpoint.objects.filter(attempt__node=node))
    rows = Checkpoint.objects.filter(attempt__node=node, gone_at=None, started__isnull=False)
    for path, job, state in rows.values_list("path", F("started__id"), F("started__state")):
        with contextlib.suppress(OSError, ResumeError):
            if state in FINAL:
                folder.release(Path(path), job)
            else:
                folder.hold(Path(path), job)


def _size_bytes(path: Path) -> int | None:
    try:
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    except OSError:
        return None
