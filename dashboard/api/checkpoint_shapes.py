"""Schemas of checkpoints and of a run's lineage."""

from __future__ import annotations

from datetime import datetime

from ninja import Schema


class CheckpointOut(Schema):
    step: int
    attempt: int
    node: str
    path: str  # on that node, or in the folder that nodes share
    size_bytes: int | None
    validation_loss: float | None  # at this very step; null: it was not validated there
    saved_at: datetime
    is_best: bool
    start_from: str  # what a spec says to begin with its weights
    forms: list[str]  # in which its files can be had from here: checkpoint, huggingface


class KinOut(Schema):
    run: str | None  # null: a folder, or another team's run
    name: str
    step: int | None  # of the checkpoint that was begun with


class LineageOut(Schema):
    ancestors: list[KinOut]  # the oldest first
    children: list[KinOut]  # the newest first
    num_children: int
