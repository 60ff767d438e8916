"""Schemas of checkpoints and of a run's lineage."""

from __future__ import annotations

from datetime import datetime

from ninja import Schema


class CheckpointOut(Schema):
    step: int
    attempt: int
    node: str
    path: str  # on that node, or in the shared folder
    size_bytes: int | None
    validation_loss: float | None  # at this step; null: not validated there
    saved_at: datetime
    is_best: bool
    start_from: str  # the value of start_from in a spec that begins with its weights
    forms: list[str]  # available downloads: checkpoint, huggingface


class KinOut(Schema):
    run: str | None  # null: a folder, or another team's run
    name: str
    step: int | None  # of the checkpoint that the next run began with


class LineageOut(Schema):
    ancestors: list[KinOut]  # the oldest first
    children: list[KinOut]  # the newest first
    num_children: int
