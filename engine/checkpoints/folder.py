"""Checkpoint folders: manifest, atomic completion, pruning, holds."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FORMAT = 2  # format 1 was DeepSpeed's own, which only the layout that wrote it could read
MANIFEST = "manifest.json"
HOLD_PREFIX = "held-"  # prefix of an empty file that keeps the checkpoint for a job that will start from it
TOKENIZER = "tokenizer.json"


class ResumeError(ValueError):
    """The spec cannot resume from this checkpoint; the message gives the reason."""


def read_manifest(path: Path) -> dict[str, Any]:
    """Read the manifest. Raises ResumeError unless every file that it lists exists with its size."""
    try:
        manifest = json.loads((path / MANIFEST).read_bytes())
    except (OSError, ValueError):
        raise ResumeError(f"The checkpoint {path.name} is not complete: it has no manifest.") from None
    if manifest.get("format") != FORMAT:
        raise ResumeError(
            f"The checkpoint {path.name} has format {manifest.get('format')}; the supported format is {FORMAT}."
        )
    for name, size_bytes in manifest["files"].items():
        if not (path / name).is_file() or (path / name).stat().st_size != size_bytes:
            raise ResumeError(
                f"The checkpoint {path.name} is damaged: {name} is missing or not {size_bytes:,} bytes."
            )
    return dict(manifest)


def complete_checkpoint(temporary: Path, final: Path, description: dict[str, Any]) -> None:
    """Turn a folder of written files into a checkpoint: write the manifest, fsync, rename. Raises OSError."""
    files = sorted(path for path in temporary.rglob("*") if path.is_file())
    sizes = {path.relative_to(temporary).as_posix(): path.stat().st_size for path in files}
    manifest = {"format": FORMAT} | description | {"files": sizes}
    (temporary / MANIFEST).write_text(json.dumps(manifest, indent=1))
    for path in (*files, temporary / MANIFEST, temporary):
        fsync_path(path)
    if final.exists():  # a checkpoint of the same step by an earlier attempt
        shutil.rmtree(final)
    os.rename(temporary, final)
    fsync_path(final.parent)


def prune_checkpoints(folder: Path, keep: int, keep_best: bool) -> None:
    """Delete complete checkpoints except the newest `keep`, the best if `keep_best`, and those that jobs hold."""
    found = sorted(path.parent for path in folder.glob(f"step-*/{MANIFEST}"))
    best = find_best(found) if keep_best else None
    for old in found[:-keep]:
        if old != best:
            _remove_unless_held(old)


def find_best(found: Iterable[Path]) -> Path | None:
    """Return the checkpoint with the lowest validation loss, the earlier one of equals; None if none has a loss."""
    losses = {path: json.loads((path / MANIFEST).read_bytes()).get("validation_loss") for path in found}
    known = {path: loss for path, loss in losses.items() if loss is not None}
    return min(known, key=lambda path: known[path], default=None)


def is_held(path: Path) -> bool:
    return any(path.glob(f"{HOLD_PREFIX}*"))


def hold(path: Path, holder: str) -> None:
    """Protect the checkpoint from pruning until `release`. Raises OSError, ResumeError if it is already deleted."""
    (path / f"{HOLD_PREFIX}{holder}").touch(mode=0o600)
    if not (path / MANIFEST).exists():
        raise ResumeError(f"The checkpoint {path.name} has just been deleted.")


def release(path: Path, holder: str) -> None:
    (path / f"{HOLD_PREFIX}{holder}").unlink(missing_ok=True)


def fsync_path(path: Path) -> None:
    """Flush a file or folder to disk. Raises OSError."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _remove_unless_held(old: Path) -> None:
    """Rename the checkpoint, then delete it unless it is held. A concurrent `hold` either fails or is seen here."""
    temporary = old.with_name(f".pruned-{old.name}")
    os.rename(old, temporary)
    if is_held(temporary):
        os.rename(temporary, old)
    else:
        shutil.rmtree(temporary)
