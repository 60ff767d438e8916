"""Disk that an attempt needs for its checkpoints, before it starts."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from engine import planner
from engine.directory import checkpoint_step
from engine.spec.spec import Spec
from jobs.nodes.node_faults import free_bytes


class DiskTooSmall(Exception):
    """The checkpoints of an attempt will not fit. The message gives both sizes."""


def refuse_full_disk(spec: Spec, node_dir: Path, resume_from: Path | None) -> None:
    """Raise DiskTooSmall if the checkpoints that the attempt will keep need more than is free beside the reserve.

    A disk whose free space cannot be told refuses nothing.
    """
    root = Path(settings.CHECKPOINT_ROOT or node_dir)
    free = free_bytes(root)
    if spec.kind != "training" or free is None:
        return
    first_step = (checkpoint_step(resume_from.name) if resume_from else None) or 0
    needed = planner.get_checkpoint_disk_bytes(spec, first_step)
    room = max(0, free - settings.DISK_RESERVE_BYTES)
    if needed > room:
        raise DiskTooSmall(
            f"Its checkpoints need {needed / 2**30:.2f} GiB, and {room / 2**30:.2f} GiB are free on the disk of {root} "
            f"beside the reserve of {settings.DISK_RESERVE_BYTES / 2**30:.1f} GiB. Free some space, keep fewer "
            "checkpoints, or choose another pool."
        )
