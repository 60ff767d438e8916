"""Where attempts keep checkpoints that several nodes share."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from jobs.models import Attempt


def shared_checkpoints(attempt: Attempt) -> Path | None:
    """Where an attempt's checkpoints go in the folder that nodes share; None: they stay on its node."""
    root = settings.CHECKPOINT_ROOT
    return Path(root) / f"{attempt.job_id}-{attempt.number}" if root else None
