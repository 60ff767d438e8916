"""Checkpoints of runs: recording, lookup, and holds for jobs that start from them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import F, QuerySet

from engine.checkpoints import folder
from engine.checkpoints.folder import MANIFEST, ResumeError
from engine.directory import AttemptDirectory, checkpoint_step
from jobs.lifecycle.resumption import is_given_up
from jobs.models import Attempt, Checkpoint, Job, Node, Run
from jobs.nodes import folders
from jobs.states.jobs import FINAL

SavedCheckpoint = tuple[str, int, float, float | None]  # folder, step, unix time, validation loss


def record(attempt: Attempt, directory: AttemptDirectory, found: Iterable[SavedCheckpoint]) -> None:
    """Record saved checkpoints of an attempt. Runs on the attempt's node."""
    place = place_of(attempt, directory)
    for name, step, at, loss in found:
        name = Path(name).name
        values: dict[str, Any] = place | {
            "run": attempt.job.run, "path": f"{place['path']}/{name}", "validation_loss": loss,
            "size_bytes": _size_bytes(directory.checkpoints / name),
            "saved_at": datetime.fromtimestamp(at, UTC), "gone_at": None, "damage": "",
            "is_given_up": is_given_up(attempt.job, attempt.number, step),
        }  # fmt: skip
        Checkpoint.objects.update_or_create(attempt=attempt, step=step, defaults=values)


def register(attempt: Attempt, path: Path, place: dict[str, Any]) -> Checkpoint | None:
    """Record a complete checkpoint that lies on the disk without a row. None: its name or manifest is unusable."""
    step = checkpoint_step(path.name)
    try:
        manifest = json.loads((path / MANIFEST).read_bytes())
        saved_at = datetime.fromtimestamp((path / MANIFEST).stat().st_mtime, UTC)
        loss = manifest.get("validation_loss")
    except (OSError, ValueError, AttributeError):
        return None
    if step is None:
        return None
    values: dict[str, Any] = place | {
        "run": attempt.job.run, "path": f"{place['path']}/{path.name}", "size_bytes": _size_bytes(path),
        "validation_loss": loss if isinstance(loss, float) else None, "saved_at": saved_at,
        "is_given_up": is_given_up(attempt.job, attempt.number, step),
    }  # fmt: skip
    row, is_new = Checkpoint.objects.get_or_create(attempt=attempt, step=step, defaults=values)
    if is_new and (attempt.checkpoint_step or -1) < step:
        Attempt.objects.filter(id=attempt.id).update(
            checkpoint=row.path, checkpoint_step=step, checkpoint_at=saved_at
        )
    return row if is_new else None


def place_of(attempt: Attempt, directory: AttemptDirectory) -> dict[str, Any]:
    """Return where the checkpoints of an attempt lie, as columns of their rows; `path` is that of the folder."""
    if directory.checkpoints.is_symlink():  # to the shared root
        return {"path": directory.path.name, "is_shared": True, "root_id": folders.read_root_id()}
    top = attempt.directory or folders.attempt_path(attempt)
    return {"path": f"{top}/checkpoints", "is_shared": False, "root_id": ""}


def list_checkpoints(run: Run) -> QuerySet[Checkpoint]:
    """Return the run's existing checkpoints, newest first."""
    return Checkpoint.objects.filter(run=run, gone_at=None).select_related("attempt__node", "run")


def newest(run: Run) -> Checkpoint | None:
    return list_checkpoints(run).filter(damage="").first()


def best(run: Run) -> Checkpoint | None:
    """Return the checkpoint with the lowest validation loss; among equals the one with the lowest step."""
    judged = list_checkpoints(run).filter(damage="").exclude(validation_loss=None)
    return judged.order_by("validation_loss", "step").first()


def at_step(run: Run, step: int) -> Checkpoint | None:
    return list_checkpoints(run).filter(step=step).first()


def path_on_node(path: str, is_shared: bool, node_dir: Path) -> Path:
    """Return where a checkpoint of this node, or a shared one, lies on this machine."""
    return Path(settings.CHECKPOINT_ROOT or node_dir) / path if is_shared else node_dir / path


def get_local_path(checkpoint: Checkpoint) -> Path | None:
    """Return the checkpoint's folder if this machine can read it; None if it is on another machine."""
    node = checkpoint.attempt.node
    find = folders.find_shared if checkpoint.is_shared else folders.find_here
    path = find(node, checkpoint.path)
    return path if (path / MANIFEST).is_file() else None


def find_damage(path: Path) -> str:
    """Return why the checkpoint in a folder cannot be read; '' if nothing is wrong with its files."""
    try:
        folder.read_manifest(path)
    except ResumeError as error:
        return str(error)[:300]
    except (OSError, LookupError, TypeError, AttributeError, ValueError, AssertionError) as error:
        return f"The manifest of {path.name} cannot be used: {type(error).__name__} {error}."[:300]
    return ""


def hold(job: Job) -> None:
    """Protect the checkpoint that a job starts from against pruning.

    If this machine cannot read it, the agent of its node protects it within seconds (`update_holds`). Raises
    ResumeError if it has just been deleted.
    """
    path = get_local_path(job.start_checkpoint) if job.start_checkpoint else None
    if path is not None:
        folder.hold(path, job.id)


def update_holds(node: Node, node_dir: Path) -> None:
    """Update the holds on this node's checkpoints. Called by the node's agent.

    Checkpoints from which waiting and running jobs start are held; those of ended jobs are released.
    """
    rows = Checkpoint.objects.filter(attempt__node=node, gone_at=None, started__isnull=False)
    for path, is_shared, job, state in rows.values_list(
        "path", "is_shared", F("started__id"), F("started__state")
    ):
        place = path_on_node(path, is_shared, node_dir)
        with contextlib.suppress(OSError, ResumeError):
            if state in FINAL:
                folder.release(place, job)
            else:
                folder.hold(place, job)


def _size_bytes(path: Path) -> int | None:
    try:
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    except OSError:
        return None
