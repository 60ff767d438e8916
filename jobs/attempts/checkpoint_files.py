"""Checkpoints of a run with the forms in which their files are available."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from engine.checkpoints.folder import ResumeError
from engine.checkpoints.huggingface.architectures import ArchitectureError
from engine.checkpoints.huggingface.export import check_exportable, export
from engine.spec.spec import SpecError, parse
from jobs.attempts import checkpoints
from jobs.models import Checkpoint, Run

FORMS = ("checkpoint", "huggingface")
MAX_LISTED = 50


class FilesUnavailable(Exception):
    """Files that this machine does not have, or not in this form; the message gives the reason."""


@dataclass(frozen=True)
class ListedCheckpoint:
    """A checkpoint of a run; `unreachable` and `unfit` are '' or a reason."""

    row: Checkpoint
    is_best: bool
    is_newest: bool
    unreachable: str  # why this machine does not have its files
    unfit: str  # why there is no Hugging Face form

    @property
    def start(self) -> str:
        """The value of `start_from` that names it in a spec."""
        return f"{self.row.run_id}@{self.row.step}"

    @property
    def forms(self) -> list[str]:
        return [form for form in FORMS if not self.unreachable and not (form == "huggingface" and self.unfit)]


def list_checkpoints(run: Run) -> list[ListedCheckpoint]:
    """List the checkpoints that still exist, newest first, at most MAX_LISTED."""
    rows = list(checkpoints.list_checkpoints(run)[:MAX_LISTED])
    judged = [row for row in rows if row.validation_loss is not None]
    best = min(judged, key=lambda row: (row.validation_loss, row.step), default=None)
    unfit = _unfit_reason(run) if rows else ""
    return [
        ListedCheckpoint(row, row is best, row is rows[0], unreachable_reason(row), unfit) for row in rows
    ]


def serialize(listed: ListedCheckpoint) -> dict[str, Any]:
    row = listed.row
    return {
        "step": row.step, "attempt": row.attempt.number, "node": row.attempt.node.name, "path": row.path,
        "size_bytes": row.size_bytes, "validation_loss": row.validation_loss, "saved_at": row.saved_at,
        "is_best": listed.is_best, "start_from": listed.start, "forms": listed.forms,
    }  # fmt: skip


def get_folder(row: Checkpoint) -> Path:
    """Return the checkpoint's folder on this machine. Raises FilesUnavailable."""
    path = checkpoints.get_local_path(row)
    if path is None:
        raise FilesUnavailable(unreachable_reason(row))
    return path


def export_to_temporary_folder(row: Checkpoint) -> Path:
    """Export to a new folder that `transformers` loads; the caller deletes it. Raises FilesUnavailable."""
    path = get_folder(row)
    Path(settings.ARTEFACT_ROOT).mkdir(parents=True, exist_ok=True)
    target = Path(tempfile.mkdtemp(dir=settings.ARTEFACT_ROOT, prefix="export-"))
    try:
        export(path, target)
    except (ArchitectureError, ResumeError, OSError) as error:
        shutil.rmtree(target, ignore_errors=True)
        raise FilesUnavailable(str(error)) from None
    return target


def unreachable_reason(row: Checkpoint) -> str:
    if checkpoints.get_local_path(row) is not None:
        return ""
    return f"Its files are on node {row.attempt.node.name}, which this machine cannot read: {row.path}"


def _unfit_reason(run: Run) -> str:
    try:
        check_exportable(parse(run.spec))
    except (ArchitectureError, SpecError) as error:
        return str(error)
    return ""
