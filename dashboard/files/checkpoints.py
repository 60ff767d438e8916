"""Downloads of checkpoints as tar files."""

from __future__ import annotations

import shutil

from dashboard.files.tar import TarDownload
from jobs.attempts.checkpoint_files import export_to_temporary_folder, get_folder
from jobs.models import Checkpoint


def download_checkpoint(row: Checkpoint, form: str) -> TarDownload:
    """Send a checkpoint as it is, or in the form of Hugging Face. Raises FilesUnavailable."""
    name = f"{row.run_id}-step-{row.step}"
    if form == "checkpoint":
        return TarDownload(get_folder(row), name)
    folder = export_to_temporary_folder(row)
    return TarDownload(folder, f"{name}-huggingface", lambda: shutil.rmtree(folder, ignore_errors=True))
