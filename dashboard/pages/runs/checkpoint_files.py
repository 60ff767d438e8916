"""Checkpoints as a person sees them: what can be done with each, and its files to take away."""

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


class NotHere(Exception):
    """Files that cannot be had from this machine, or not in this form; the message says why."""


@dataclass(frozen=True)
class Shown:
    """A row of the run page. `away`: why its files cannot be had here; `unfit`: why not in Hugging Face's form."""

    row: Checkpoint
    is_best: bool
    is_newest: bool
    away: str
    unfit: str

    @property
    def start(self) -> str:
        return f"{self.row.run_id}@{self.row.step}"


def listing(run: Run) -> list[Shown]:
    rows = list(checkpoints.list_checkpoints(run)[:SHOWN])
    judged = [row for row in rows if row.validation_loss is not None]
    best = min(judged, key=lambda row: (row.validation_loss, row.step), default=None)
    unfit = _unfit(run) if rows else ""
    return [Shown(row, row is best, row is rows[0], _away(row), unfit) for row in rows]


def plain(shown: Shown) -> dict[str, Any]:
    row = shown.row
    return {
        "step": row.step, "attempt": row.attempt.number, "node": row.attempt.node.name, "path": row.path,
        "size_bytes": row.size_bytes, "validation_loss": row.validation_loss, "saved_at": row.saved_at,
        "is_best": shown.is_best, "start_from": shown.start,
        "forms": [form for form in FORMS if not shown.away and not (form == "huggingface" and shown.unfit)],
    }  # fmt: skip


def download(row: Checkpoint, form: str) -> TarDownload:
    """Raises NotHere."""
    path = checkpoints.get_local_path(row)
    if path is None:
        raise NotHere(_away(row))
    name = f"{row.run_id}-step-{row.step}"
    if form == "checkpoint":
        return TarDownload(path, name)
    Path(settings.ARTEFACT_ROOT).mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=settings.ARTEFACT_ROOT, prefix="export-"))

    def done() -> None:
        shutil.rmtree(aside, ignore_errors=True)

    try:
        export(path, aside)
        return TarDownload(aside, f"{name}-huggingface", done)
    except (ShapeError, ResumeError, OSError) as error:
        done()
        raise NotHere(str(error)) from None


def _away(row: Checkpoint) -> str:
    if checkpoints.get_local_path(row) is not None:
        return ""
    return f"Its files lie on node {row.attempt.node.name}, which this server cannot read: {row.path}"


def _unfit(run: Run) -> str:
    try:
        refuse_unfit(parse(run.spec))
    except (ShapeError, SpecError) as error:
        return str(error)
    return ""
