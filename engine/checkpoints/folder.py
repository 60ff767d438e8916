"""A checkpoint's folder: complete or not there, kept or pruned."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FORMAT = 2  # 1 was DeepSpeed's own, which only the layout that wrote it could read
MANIFEST = "manifest.json"
HELD = "held-"  # an empty file of this beginning: a job will start from this checkpoint
TOKENIZER = "tokenizer.json"


class ResumeError(ValueError):
    """A checkpoint that this spec cannot go on from; the sentence says why."""


def read_manifest(path: Path) -> dict[str, Any]:
    """Raises ResumeError unless the checkpoint is complete: manifest there, every file of its size."""
    try:
        manifest = json.loads((path / MANIFEST).read_bytes())
    except (OSError, ValueError):
        raise ResumeError(f"The checkpoint {path.name} is not complete: it has no manifest.") from None
    if manifest.get("format") != FORMAT:
        raise ResumeError(
            f"The checkpoint {path.name} has format {manifest.get('format')}; this reads {FORMAT}."
        )
    for name, size_bytes in manifest["files"].items():
        if not (path / name).is_file() or (path / name).stat().st_size != size_bytes:
            raise ResumeError(
                f"The checkpoint {path.name} is damaged: {name} is missing or not {size_bytes:,} bytes."
            )
    return dict(manifest)


def complete(aside: Path, final: Path, described: dict[str, Any]) -> None:
    """Make a folder whose files are written and synced a checkpoint: manifest last, then renamed. Raises OSError."""
    files = sorted(path for path in aside.rglob("*") if path.is_file())
    sizes = {path.relative_to(aside).as_posix(): path.stat().st_size for path in files}
    manifest = {"format": FORMAT} | described | {"files": sizes}
    (aside / MANIFEST).write_text(json.dumps(manifest, indent=1))
    for path in (*files, aside / MANIFEST, aside):
        sync(path)
    if final.exists():  # an earlier attempt's checkpoint of the same step
        shutil.rmtree(final)
    os.rename(aside, final)
    sync(final.parent)


def prune(folder: Path, keep: int, keep_best: bool) -> None:
    """Delete all complete checkpoints but the newest `keep`, the best if it is wanted, and those that jobs hold."""
    found = sorted(path.parent for path in folder.glob(f"step-*/{MANIFEST}"))
    best = best_of(found) if keep_best else None
    for old in found[:-keep]:
        if old != best:
            _remove(old)


def best_of(found: Iterable[Path]) -> Path | None:
    """The one with the lowest validation loss; the earlier of equals. None where none was validated."""
    losses = {path: json.loads((path / MANIFEST).read_bytes()).get("validation_loss") for path in found}
    judged = {path: loss for path, loss in losses.items() if loss is not None}
    return min(judged, key=lambda path: judged[path], default=None)


def is_held(path: Path) -> bool:
    return any(path.glob(f"{HELD}*"))


def hold(path: Path, who: str) -> None:
    """Keep it from being pruned until `release`. Raises OSError, ResumeError where it has gone already."""
    (path / f"{HELD}{who}").touch(mode=0o600)
    if not (path / MANIFEST).exists():
        raise ResumeError(f"The checkpoint {path.name} has just been deleted.")


def release(path: Path, who: str) -> None:
    (path / f"{HELD}{who}").unlink(missing_ok=True)


def sync(path: Path) -> None:
    """See a file or folder onto the disk. Raises OSError."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _remove(old: Path) -> None:
    """Out of sight first: who wants to hold it finds it gone, or is seen here."""
    aside = old.with_name(f".pruned-{old.name}")
    os.rename(old, aside)
    if is_held(aside):
        os.rename(aside, old)
    else:
        shutil.rmtree(aside)
