"""Checkpoint folders: manifest, atomic completion, pruning, holds."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

import msgspec

from engine.checkpoints.checksums import PATTERN as CHECKSUM_PATTERN
from engine.checkpoints.checksums import SIDECAR_SUFFIX, compute_fields_checksum, take_checksum
from engine.directory import checkpoint_step, find_checkpoints

FORMAT = 2  # format 1 was DeepSpeed's own, which only the layout that wrote it could read
MANIFEST = "manifest.json"
HOLD_PREFIX = "held-"  # prefix of an empty file that keeps the checkpoint for a job that will start from it
TOKENIZER = "tokenizer.json"


class ResumeError(ValueError):
    """The spec cannot resume from this checkpoint; the message gives the reason."""


class DamagedCheckpointError(ResumeError):
    """The checkpoint is incomplete, damaged or of another format, so an older one may serve instead."""


class _Fields(TypedDict):
    """Types of the fields of a manifest. Fields that are not required came in later versions."""

    format: int
    step: Annotated[int, msgspec.Meta(ge=0)]
    spec: dict[str, Any]
    layout: dict[str, Any]
    files: dict[str, Annotated[int, msgspec.Meta(ge=0)]]  # size of each file in bytes
    validation_loss: NotRequired[float | None]
    best_loss: NotRequired[float | None]
    counters: NotRequired[dict[str, int | float]]
    base: NotRequired[
        dict[str, str]
    ]  # of adapters: path, title and checksum of the weights they are trained beside
    checksums: NotRequired[dict[str, str]]  # of each file
    checksum: NotRequired[str]  # of all other fields


def read_manifest(path: Path) -> dict[str, Any]:
    """Read the manifest. Raises DamagedCheckpointError unless it is well-formed and its files exist with their sizes.

    Reads no file but the manifest, so it costs milliseconds; engine.checkpoints.soundness compares the checksums.
    """
    manifest = _parse_manifest(path)
    step = checkpoint_step(path.name)
    if step is not None and manifest["step"] != step:
        raise DamagedCheckpointError(
            f"The checkpoint {path.name} is damaged: its manifest belongs to step {manifest['step']}."
        )
    for name, size_bytes in manifest["files"].items():
        if _size_bytes(path / name) != size_bytes:
            raise DamagedCheckpointError(
                f"The checkpoint {path.name} is damaged: {name} is missing or not {size_bytes:,} bytes."
            )
    return manifest


def _size_bytes(file: Path) -> int | None:
    """Return the size of a file; None if there is no such file, or it cannot be looked up."""
    try:
        return file.stat().st_size if file.is_file() else None
    except OSError:
        return None


def _parse_manifest(path: Path) -> dict[str, Any]:
    if not (path / MANIFEST).is_file():
        raise DamagedCheckpointError(f"The checkpoint {path.name} is not complete: it has no manifest.")
    try:
        values = json.loads((path / MANIFEST).read_bytes(), object_pairs_hook=_unique_fields)
        found = values.get("format") if isinstance(values, dict) else None
        if found is not None and found != FORMAT:
            raise ValueError(f"it has format {found}; the supported format is {FORMAT}")
        msgspec.convert(values, _Fields)
        _check_file_names(values["files"])
        _check_checksum_fields(values)
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "it is nested too deeply"
        raise DamagedCheckpointError(
            f"The checkpoint {path.name} is damaged: its manifest cannot be used ({reason})."
        ) from None
    return dict(values)


def _unique_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a field occurs twice")
    return values


def _check_file_names(names: Iterable[str]) -> None:
    for name in names:
        parts = Path(name).parts
        if not parts or Path(name).is_absolute() or ".." in parts or "\0" in name or name == MANIFEST:
            raise ValueError(f"{name!r} is not the name of a file of a checkpoint")


def _check_checksum_fields(manifest: Mapping[str, Any]) -> None:
    """Raise ValueError unless the fields have the checksum that was written with them.

    Manifests of versions before checksums have neither field.
    """
    checksums, own = manifest.get("checksums"), manifest.get("checksum")
    if checksums is None and own is None:
        return
    others = {name: value for name, value in manifest.items() if name != "checksum"}
    if own != compute_fields_checksum(others):
        raise ValueError("its fields do not have the checksum that was saved with them")
    if checksums is None or checksums.keys() != manifest["files"].keys():
        raise ValueError("it does not have the checksum of every file")
    if unknown := [checksum for checksum in checksums.values() if not CHECKSUM_PATTERN.fullmatch(checksum)]:
        raise ValueError(f"the checksum {unknown[0]!r} is of an unknown kind")


def complete_checkpoint(temporary: Path, final: Path, description: dict[str, Any]) -> None:
    """Turn a folder of written files into a checkpoint: write the manifest, fsync, rename. Raises OSError."""
    files = sorted(p for p in temporary.rglob("*") if p.is_file() and p.suffix != SIDECAR_SUFFIX)
    names = {path: path.relative_to(temporary).as_posix() for path in files}
    manifest: dict[str, Any] = {"format": FORMAT} | description
    manifest["files"] = {name: path.stat().st_size for path, name in names.items()}
    manifest["checksums"] = {name: take_checksum(path) for path, name in names.items()}
    manifest["checksum"] = compute_fields_checksum(manifest)
    (temporary / MANIFEST).write_text(json.dumps(manifest, indent=1))
    for path in (*files, temporary / MANIFEST, temporary):
        fsync_path(path)
    if final.is_dir() and not final.is_symlink():  # a checkpoint of the same step by an earlier attempt
        shutil.rmtree(final)
    else:
        final.unlink(missing_ok=True)
    os.rename(temporary, final)
    fsync_path(final.parent)


def prune_checkpoints(folder: Path, keep: int, keep_best: bool, newest_step: int | None = None) -> None:
    """Delete complete checkpoints except the newest `keep`, the best if `keep_best`, and those that jobs hold.

    Leaves those after `newest_step`, the step just saved, out of account: a run that has fallen back from a damaged
    checkpoint must not delete sound ones in favour of that.
    """
    found = [
        path
        for path in reversed(find_checkpoints(folder))
        if newest_step is None or (checkpoint_step(path.name) or 0) <= newest_step
    ]
    best = find_best(found) if keep_best else None
    for old in found[:-keep]:
        if old != best:
            _remove_unless_held(old)


def find_best(found: Iterable[Path]) -> Path | None:
    """Return the checkpoint with the lowest validation loss, the earlier one of equals; None if none has a loss.

    A damaged checkpoint is never the best.
    """
    known: dict[Path, float] = {}
    for path in found:
        with contextlib.suppress(DamagedCheckpointError):
            loss = read_manifest(path).get("validation_loss")
            if loss is not None and math.isfinite(loss):
                known[path] = loss
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
