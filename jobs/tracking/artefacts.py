"""Artefact files of runs, each saved whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from jobs.ids import new_id
from jobs.models import Artefact, Run, RunEvent
from jobs.models.artefacts import PATH_LIMIT
from jobs.people import storage

# Embeddings, overrides and isolates; the marks of single letters (U+200E, U+200F, U+061C) reorder no other text.
DIRECTION_MARKS = re.compile("[\u202a-\u202e\u2066-\u2069]")


class ArtefactError(ValueError):
    """A file that cannot be saved; the message names it and the reason."""


class TooBig(ArtefactError):
    """More bytes than FOURWALLS_ARTEFACT_LIMIT_BYTES."""


class ArtefactMissing(Exception):
    """The row is there and its file is not; the message says since when."""


@dataclass(frozen=True)
class FolderEntry:
    """A file or subfolder in the listing of a folder."""

    path: str  # from the run's root
    artefact: Artefact | None

    @property
    def is_folder(self) -> bool:
        return self.artefact is None


def save(run: Run, path: str, parts: Iterable[bytes], *, actor: str) -> Artefact:
    """Save a file under `path`, replacing an existing one in one step. Raises ArtefactError, QuotaReached.

    The bytes are on disk before the row is committed: a row always has its file. Files are stored by the row's id.
    """
    refuse_bad_path(path)
    _refuse_overlap(run, path)
    storage.refuse_artefact(run.team)
    folder = folder_of(run)
    folder.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(folder).free < settings.DISK_RESERVE_BYTES:
        raise storage.QuotaReached(
            f"The server's disk for files is nearly full, so '{path}' was not saved. It can be sent again once an "
            "admin has made room."
        )
    handle, temporary = tempfile.mkstemp(dir=folder, prefix="new-")
    try:
        with os.fdopen(handle, "wb") as file:
            size_bytes, sha256 = _copy(parts, file, path)
        storage.refuse_artefact(run.team, size_bytes)
        made = Artefact(
            id=new_id(),
            run=run,
            path=path,
            size_bytes=size_bytes,
            sha256=sha256,
            saved_at=timezone.now(),
            actor=actor,
        )
        os.replace(temporary, file_of(made))
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    with transaction.atomic():
        Run.objects.select_for_update().get(id=run.id)  # serialises two writers of one path
        old = list(Artefact.objects.filter(run=run, path=path))
        Artefact.objects.filter(id__in=[one.id for one in old]).delete()
        made.save(force_insert=True)
        transaction.on_commit(lambda: _unlink(old))
    return made


def find(run: Run, path: str) -> Artefact | None:
    return Artefact.objects.filter(run=run, path=path).first()


def listing(run: Run, folder: str = "") -> list[FolderEntry]:
    """Files and subfolders directly in a folder of the run, by name. Empty for a folder that does not exist."""
    within = f"{folder}/" if folder else ""
    found: dict[str, FolderEntry] = {}
    for artefact in Artefact.objects.filter(run=run, path__startswith=within).order_by("path"):
        if not artefact.path.startswith(within):  # SQLite's LIKE ignores case
            continue
        name, _, below = artefact.path[len(within) :].partition("/")
        found.setdefault(name, FolderEntry(within + name, None if below else artefact))
    return [found[name] for name in sorted(found)]


def delete(run: Run, path: str, *, actor: str) -> int:
    """Delete a file, or a folder with its contents; recorded as an event. Returns the number of files."""
    rows = [
        one for one in Artefact.objects.filter(run=run, path__startswith=path) if _is_within(one.path, path)
    ]
    if rows:
        with transaction.atomic():
            Artefact.objects.filter(id__in=[one.id for one in rows]).delete()
            text = f"{path}: {len(rows)} file{'s' if len(rows) > 1 else ''}"
            RunEvent.objects.create(run=run, actor=actor, kind="run.artefacts deleted", text=text)
            transaction.on_commit(lambda: _unlink(rows))
    return len(rows)


def folder_of(run: Run) -> Path:
    return Path(settings.ARTEFACT_ROOT) / run.id


def file_of(artefact: Artefact) -> Path:
    return Path(settings.ARTEFACT_ROOT) / artefact.run_id / artefact.id


def find_file(artefact: Artefact) -> Path:
    """Return the file of an artefact. Raises ArtefactMissing if it is not on this machine's disk.

    Every look counts: the row says since when the file is missing, and forgets it when the file is there again.
    """
    path = file_of(artefact)
    rows = Artefact.objects.filter(id=artefact.id)
    if path.is_file():
        if artefact.missing_since is not None:
            rows.update(missing_since=None)
        return path
    root = Path(settings.ARTEFACT_ROOT)
    if not root.is_dir():  # away as a whole: says nothing on this file
        raise ArtefactMissing(
            f"The folder of artefacts, {root}, cannot be reached now, so '{artefact.path}' cannot be read."
        )
    since = artefact.missing_since or timezone.now()
    rows.filter(missing_since=None).update(missing_since=since)
    raise ArtefactMissing(
        f"The file of this artefact, '{artefact.path}', is missing on disk since {since:%Y-%m-%d %H:%M} UTC, "
        "if not longer."
    )


def refuse_bad_path(path: str) -> None:
    """Raises ArtefactError unless `path` is a plain relative path."""
    parts = path.split("/")
    if not path or len(path) > PATH_LIMIT:
        raise ArtefactError(f"An artefact's path has 1 to {PATH_LIMIT} characters; this one has {len(path)}.")
    if "" in parts or "." in parts or ".." in parts or "\\" in path or any(ord(c) < 32 for c in path):
        raise ArtefactError(
            f"{path!r} is not the path of an artefact: use names separated by /, without '..'."
        )
    if found := DIRECTION_MARKS.search(path):
        raise ArtefactError(
            f"{path.encode('ascii', 'backslashreplace').decode()!r} holds the mark U+{ord(found[0]):04X}, which turns "
            "the direction of a text, so that a name reads as another one. Rename the file."
        )


def refuse_too_big(path: str, size_bytes: int) -> None:
    """Raises TooBig before any byte is read."""
    limit = settings.ARTEFACT_LIMIT_BYTES
    if size_bytes > limit:
        raise TooBig(f"'{path}' has {size_bytes:,} bytes; a file has at most {limit:,}.")


def _refuse_overlap(run: Run, path: str) -> None:
    """A name is a file or a folder, never both: clients could not download both into one folder."""
    parts = path.split("/")
    above = ["/".join(parts[:count]) for count in range(1, len(parts))]
    taken = Artefact.objects.filter(run=run, path__in=above).values_list("path", flat=True).first()
    if taken is not None:
        raise ArtefactError(f"'{taken}' is a file of run {run.id}, so it cannot contain '{path}'.")
    if listing(run, path):
        raise ArtefactError(f"'{path}' is a folder of run {run.id} and cannot become a file.")


def _copy(parts: Iterable[bytes], file: BinaryIO, path: str) -> tuple[int, str]:
    """Write and fsync the parts; returns the size and the SHA-256."""
    limit, size_bytes, digest = settings.ARTEFACT_LIMIT_BYTES, 0, hashlib.sha256()
    for part in parts:
        size_bytes += len(part)
        if size_bytes > limit:
            raise TooBig(f"'{path}' is larger than {limit:,} bytes, the limit of a file.")
        digest.update(part)
        file.write(part)
    file.flush()
    os.fsync(file.fileno())
    return size_bytes, digest.hexdigest()


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _unlink(artefacts: Iterable[Artefact]) -> None:
    for artefact in artefacts:
        with contextlib.suppress(FileNotFoundError):
            file_of(artefact).unlink()
