"""Location of checkpoints shared by several nodes."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from jobs.models import Attempt


def shared_checkpoints(attempt: Attempt) -> Path | None:
    """Return the attempt's folder below CHECKPOINT_ROOT; None if its checkpoints stay on its node."""
    root = settings.CHECKPOINT_ROOT
    return Path(root) / f"{attempt.job_id}-{attempt.number}" if root else None
