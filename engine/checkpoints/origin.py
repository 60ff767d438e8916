"""Origin of a resumed run: its checkpoint and what the resume changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ResumeOrigin:
    """The checkpoint that a run has continued from."""

    path: Path
    has_checksums: bool
    changes: tuple[str, ...]  # fields of the spec that differ: optimiser.learning_rate 0.001 -> 0.01
