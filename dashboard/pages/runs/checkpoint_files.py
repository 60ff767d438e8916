"""Checkpoints on the run page, and downloads of their files."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from dashboard.files.tar import TarDownload
from engine.checkpoints.folder import ResumeError
from engine.checkpoints.huggingface.export import export, refuse_unfit
from engine.checkpoints.huggingface.shapes import ShapeError
from engine.spec.spec import SpecError, parse
from jobs.attempts import checkpoints
from jobs.models import Checkpoint, Run

FORMS = ("checkpoint", "huggingface")
SHOWN = 50


class FilesUnavailable(Exception):
    """The files cannot be read on this machine or not exported in this form; the message gives the reason."""


@dataclass(frozen=True)
class CheckpointRow:
    """A checkpoint of the run page. `away`: why its files are not readable here; `unfit`: why they cannot be exported
    for Hugging Face."""

    row: Checkpoint
    is_best: bool
    is_newest: bool
    away: str
    unfit: str

    @property
    def start(self) -> str:
        return f"{self.row.run_id}@{self.row.step}"


def list_checkpoints(run: Run) -> list[CheckpointRow]:
    rows = list(checkpoints.list_checkpoints(run)[:SHOWN])
    validated = [row for row in rows if row.validation_loss is not None]
    best = min(validated, key=lambda row: (row.validation_loss, row.step), default=None)
    unfit = _export_problem(run) if rows else ""
    return [CheckpointRow(row, row is best, row is rows[0], _away_reason(row), unfit) for row in rows]


def serialize(shown: CheckpointRow) -> dict[str, Any]:
    """Return a checkpoint as JSON values."""
    row = shown.row
    return {
        "step": row.step, "attempt": row.attempt.number, "node": row.attempt.node.name, "path": row.path,
        "size_bytes": row.size_bytes, "validation_loss": row.validation_loss, "saved_at": row.saved_at,
        "is_best": shown.is_best, "start_from": shown.start,
        "forms": [form for form in FORMS if not shown.away and not (form == "huggingface" and shown.unfit)],
    }  # fmt: skip


def download(row: Checkpoint, form: str) -> TarDownload:
    """Return the files of a checkpoint as a tar. Raises FilesUnavailable."""
    path = checkpoints.get_local_path(row)
    if path is None:
        raise FilesUnavailable(_away_reason(row))
    name = f"{row.run_id}-step-{row.step}"
    if form == "checkpoint":
        return TarDownload(path, name)
    Path(settings.ARTEFACT_ROOT).mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=settings.ARTEFACT_ROOT, prefix="export-"))

    def done() -> None:
        shutil.rmtree(folder, ignore_errors=True)

    try:
        export(path, folder)
        return TarDownload(folder, f"{name}-huggingface", done)
    except (ShapeError, ResumeError, OSError) as error:
        done()
        raise FilesUnavailable(str(error)) from None


def _away_reason(row: Checkpoint) -> str:
    """Return why the files are not readable on this machine; '' if they are."""
    if checkpoints.get_local_path(row) is not None:
        return ""
    return f"Its files are on node {row.attempt.node.name}, which this server cannot read: {row.path}"


def _export_problem(run: Run) -> str:
    """Return why the run cannot be exported for Hugging Face; '' if it can."""
    try:
        refuse_unfit(parse(run.spec))
    except (ShapeError, SpecError) as error:
        return str(error)
    return ""
